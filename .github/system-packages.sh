#!/usr/bin/env bash
# What commands are run in, for the ordinary user of a runner (docs/sandbox.md): three packages, and user namespaces, which
# Ubuntu 24.04 forbids to unconfined programs.
set -euo pipefail
sudo apt-get -q update
sudo apt-get -q -y install --no-install-recommends mmdebstrap bubblewrap uidmap
sudo sysctl -q -w kernel.apparmor_restrict_unprivileged_userns=0
