#!/bin/sh
# HEALTHCHECK of both images: exit 0, or 1 with one line. Is there an environment, room on the volume, and the GPU that
# the container was started with? Whether a training goes on is in its progress lines, not here.
set -u

IMAGE=${SECURECLI_IMAGE:-/opt/securecli-tuner}
VOLUME=${SECURECLI_VOLUME:-/workspace/data}
ROOM=${SECURECLI_ROOM_KB:-1048576} # one checkpoint of the largest recipe, and its report

ill() { echo "unhealthy: $*"; exit 1; }

[ -e "$IMAGE/.venv" ] && { "$IMAGE/.venv/bin/python" -c "" || ill "the Python of $IMAGE/.venv does not start"; }
place=$VOLUME
[ -d "$place" ] || place=$IMAGE
[ -w "$place" ] || ill "$place cannot be written"
free=$(df -Pk "$place" | awk 'NR == 2 { print $4 }')
[ "$free" -ge "$ROOM" ] || ill "$free KB free in $place, $ROOM needed"
case ${NVIDIA_VISIBLE_DEVICES:-void} in
    void | none | "") ;;
    *) nvidia-smi --query-gpu=name --format=csv,noheader > /dev/null 2>&1 || ill "the GPU does not answer nvidia-smi" ;;
esac
echo healthy
