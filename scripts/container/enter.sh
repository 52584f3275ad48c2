#!/bin/sh
# The entry of both images: a verb of the Makefile, in a working copy that outlives the container.
#
#   docker run ... IMAGE                              list the verbs
#   docker run ... IMAGE train RECIPE=... GPUS=1      `make train ...`; its exit code is the container's
#   docker run ... IMAGE idle                         wait, for a person who comes by SSH or `docker exec`
#
# A volume at /workspace/data keeps runs, caches and the working copy; without one all of it ends with the container.
# No Jupyter is started, and no variable of the environment is written to a file, as the entries of Axolotl's cloud
# images do. On RunPod a container is started again whenever its entry ends, which would pay for the same verb again:
# there the pod is stopped, and where that fails the container waits.
set -eu

IMAGE=${SECURECLI_IMAGE:-/opt/securecli-tuner}
VOLUME=${SECURECLI_VOLUME:-/workspace/data}

say() { echo "container: $*" >&2; }

working_copy() {
    if [ ! -d "$VOLUME" ] || [ ! -w "$VOLUME" ]; then
        say "no volume at $VOLUME: what is made here ends with this container"
        echo "$IMAGE"
        return
    fi
    copy=$VOLUME/securecli-tuner
    if [ ! -d "$copy/.git" ]; then
        say "a new working copy in $copy"
        rm -rf "$copy.partial"
        git clone --quiet "$IMAGE" "$copy.partial"
        mv "$copy.partial" "$copy"
    elif [ "$(git -C "$copy" rev-parse HEAD)" != "$(git -C "$IMAGE" rev-parse HEAD)" ]; then
        say "the working copy is at another commit than the image: git -C $copy pull $IMAGE brings the image's"
    fi
    for name in .venv models; do
        if [ -e "$IMAGE/$name" ] && [ ! -e "$copy/$name" ]; then ln -sfn "$IMAGE/$name" "$copy/$name"; fi
    done
    # make goes by times, and a clone's are new: the environment is as old as what it was made from.
    same=yes
    for file in requirements.txt requirements-model.txt requirements-overrides.txt constraints.txt; do
        cmp -s "$IMAGE/$file" "$copy/$file" || same=no
    done
    if [ "$same" = yes ] && [ -e "$copy/.venv/.runtime" ]; then touch "$copy/.venv/.runtime"; fi
    echo "$copy"
}

open_ssh() {
    if [ -z "${PUBLIC_KEY:-}" ] || ! command -v sshd > /dev/null; then return 0; fi
    mkdir -p "$HOME/.ssh" && chmod 700 "$HOME/.ssh"
    grep -qxF "$PUBLIC_KEY" "$HOME/.ssh/authorized_keys" 2> /dev/null || echo "$PUBLIC_KEY" >> "$HOME/.ssh/authorized_keys"
    chmod 600 "$HOME/.ssh/authorized_keys"
    ssh-keygen -A > /dev/null # a host key of this container's own: the image has none
    service ssh start > /dev/null || say "sshd could not be started"
}

stop_pod() {
    say "ended with code $1; stopping the pod, since RunPod would start the verb again"
    runpodctl pod stop "$RUNPOD_POD_ID" > /dev/null 2>&1 || say "it could not be stopped: stop it yourself, it bills until then"
    exec sleep infinity
}

[ $# -gt 0 ] || set -- help
place=$(working_copy)
cd "$place"
open_ssh
if [ "$1" = idle ]; then exec sleep infinity; fi
if [ -z "${RUNPOD_POD_ID:-}" ]; then exec make --no-print-directory "$@"; fi
# The verb as a child that signals reach: make passes them on, and a training saves before it ends.
make --no-print-directory "$@" &
verb=$!
trap 'kill -TERM "$verb" 2> /dev/null' TERM INT
code=0
wait "$verb" || code=$?
while kill -0 "$verb" 2> /dev/null; do # a signal ended the wait, and not the verb
    code=0
    wait "$verb" || code=$?
done
stop_pod "$code"
