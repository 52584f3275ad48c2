# The first thing that runs on a rented machine, in bash. It sees to the machine's end before it does anything else.
#
# SECURECLI_ORDER     what to do (JSON, scripts/remote/machine.py)      SECURECLI_COMMIT    the commit to do it with
# SECURECLI_REPO      the job's private repository on the Hub           HF_TOKEN            its token
# SECURECLI_SECONDS   longest life from now                             SECURECLI_DEADLINE  seconds since 1970
# SECURECLI_END       exit: the machine ends with this process; runpod: it has to be deleted, by its own id
#
# The deadline is a moment, given from outside: a container that is restarted has no more time than the first one had,
# and there is no file that could be left over.
set -u
latest=$(($(date +%s) + SECURECLI_SECONDS))
[ "$latest" -le "$SECURECLI_DEADLINE" ] || latest=$SECURECLI_DEADLINE

delete_pod() {
    # The key goes through a pipe: an argument could be read in the process list.
    printf 'header = "Authorization: Bearer %s"\n' "${RUNPOD_API_KEY:-}" |
        curl --silent --show-error --fail --max-time 60 --config - --output /dev/null \
            --request DELETE "${RUNPOD_API_URL:-https://api.runpod.io/v2}/pods/$RUNPOD_POD_ID" && return
    # An image without curl has a Python all the same, and the pod has to go.
    python3 -c 'import os, urllib.request
at = os.environ.get("RUNPOD_API_URL", "https://api.runpod.io/v2") + "/pods/" + os.environ["RUNPOD_POD_ID"]
key = {"Authorization": "Bearer " + os.environ.get("RUNPOD_API_KEY", "")}
urllib.request.urlopen(urllib.request.Request(at, method="DELETE", headers=key), timeout=60)' && return
    command -v runpodctl > /dev/null && { runpodctl pod delete "$RUNPOD_POD_ID" || runpodctl remove pod "$RUNPOD_POD_ID"; }
}

leave() {
    trap - EXIT INT TERM HUP
    [ -z "${work:-}" ] || kill -KILL -- "-$work" 2> /dev/null
    while [ "$SECURECLI_END" = runpod ]; do # it bills until it is gone: never give up
        echo "remote: ending this pod"
        delete_pod
        sleep "${SECURECLI_PAUSE:-20}"
    done
    [ -z "${timer:-}" ] || kill "$timer" 2> /dev/null
    exit "${code:-2}"
}
trap leave EXIT INT TERM HUP

fetch_code() {
    command -v curl > /dev/null || { echo "remote: this image has no curl: name another one (--image)"; return 1; }
    printf 'header = "Authorization: Bearer %s"\n' "$HF_TOKEN" |
        curl --silent --show-error --fail --location --retry 5 --retry-all-errors --retry-delay 5 --max-time 600 \
            --config - --output code.bundle \
            "${HF_ENDPOINT:-https://huggingface.co}/$SECURECLI_REPO/resolve/main/code.bundle"
}

do_work() {
    mkdir -p "${SECURECLI_FOLDER:-$HOME/securecli}" && cd "${SECURECLI_FOLDER:-$HOME/securecli}" || return 2
    if [ ! -d code/.git ]; then
        echo "remote: fetching the code"
        fetch_code && rm -rf code.partial && git clone --quiet --no-checkout code.bundle code.partial && mv code.partial code || return 2
    fi
    cd code && git checkout --quiet --detach "$SECURECLI_COMMIT" || return 2
    echo "remote: set-up"
    make setup || return 2
    .venv/bin/python -m scripts.remote.machine
}

set -m # the work gets a process group of its own, so that all of it can be ended
do_work &
work=$!
set +m
(
    while [ "$(date +%s)" -lt "$latest" ]; do sleep "${SECURECLI_TICK:-5}"; done
    echo "remote: the deadline is reached"
    kill -KILL -- "-$work" 2> /dev/null
    timer="" && leave
) &
timer=$!
wait "$work"
code=$?
leave
