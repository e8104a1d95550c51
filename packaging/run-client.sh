#!/usr/bin/env bash
# Run a client of the server of `make run-server` on the same machine, as if it were another one.
#
#     this host  198.18.77.1 --- veth --- 198.18.77.2  namespace ghost-client: the client, its default route in the tunnel
#
# Namespace and veth pair go when the client ends; what a killed run left behind goes at the next start.
set -euo pipefail
cd "$(dirname "$0")/.."

namespace=ghost-client
host_end=ghost-host
client_end=ghost-link
server_state=build/run/server
client_state=build/run/client
ghosttunnel=$PWD/.venv/bin/ghosttunnel

fail() {
    echo "run-client: $1" >&2
    exit 1
}

remove_network() {
    # A client that outlived its script still holds the namespace.
    local pids
    pids=$(ip netns pids $namespace 2>/dev/null || true)
    if [ -n "$pids" ]; then
        # shellcheck disable=SC2086 # one word per process
        kill $pids 2>/dev/null || true
        timeout 5 tail --pid="${pids%%$'\n'*}" -f /dev/null || true
    fi
    ip link delete $host_end 2>/dev/null || true
    ip netns delete $namespace 2>/dev/null || true
}

[ "$(id -u)" = 0 ] || fail "network namespaces need root: run it with sudo"
[ -c /dev/net/tun ] || fail "/dev/net/tun is missing: load the kernel module with \`modprobe tun\`"
"$ghosttunnel" status --state-dir $server_state >/dev/null 2>&1 || fail "no server runs here: start \`make run-server\` first"

exec 9>build/run/client.lock
flock --nonblock 9 || fail "already running: end the other \`make run-client\` first"

remove_network
trap remove_network EXIT
ip netns add $namespace
ip link add $host_end type veth peer name $client_end netns $namespace
ip address add 198.18.77.1/30 dev $host_end
ip link set $host_end up
ip -n $namespace link set lo up
ip -n $namespace address add 198.18.77.2/30 dev $client_end
ip -n $namespace link set $client_end up

# A new invite each time: the one that the client remembers may be of a server whose state was since made anew.
# By the environment: a command line can be read by every user of this machine.
GHOST_INVITE=$("$ghosttunnel" invite --state-dir $server_state --endpoint 198.18.77.1:8000 --name local)
export GHOST_INVITE

echo "run-client: try it from another terminal: ${SUDO_UID:+sudo }ip netns exec $namespace ping 10.77.0.1 (Ctrl-C here ends it)"
# In the background, so that a signal to this script reaches the client at once.
ip netns exec $namespace "$ghosttunnel" client --state-dir $client_state 9>&- &
client=$!
trap 'kill -TERM $client 2>/dev/null || true' INT TERM HUP
status=0
wait $client || status=$?
# The signal interrupted that wait: give the client time to undo its changes.
if kill -0 $client 2>/dev/null; then
    status=0
    wait $client || status=$?
fi
exit $status
