# Runs a command in a fresh Debian root as its own computer: own processes, mounts and control groups; the network is
# this computer's. Arguments: root, Rust toolchain, command...
# First in groups of its own, which the namespace then shows as the root of every hierarchy:
set -eu
if [ -z "${COLD_INSIDE:-}" ]; then
    while IFS=: read -r _ controllers own; do
        folder=/sys/fs/cgroup/${controllers#name=}
        [ -n "$controllers" ] || { [ -d /sys/fs/cgroup/unified ] && folder=/sys/fs/cgroup/unified; }
        group=${folder%/}${own%/}/ashlar-cold
        mkdir -p "$group"
        if [ -f "$group/cpuset.cpus" ] && [ "$controllers" = cpuset ]; then
            cat "$group/../cpuset.cpus" > "$group/cpuset.cpus"
            cat "$group/../cpuset.mems" > "$group/cpuset.mems"
        fi
        # Outside, each of its processes would count as much as a whole group does.
        [ "$controllers" != cpu ] || echo 4096 > "$group/cpu.shares"
        echo $$ > "$group/cgroup.procs"
    done < /proc/self/cgroup
    export COLD_INSIDE=1
    exec unshare --mount --pid --cgroup --ipc --uts --fork --kill-child --propagation private -- sh "$0" "$@"
fi
root=$1
toolchain=$2
shift 2
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
while read -r _ folder kind options _; do
    case $folder:$kind in
    /sys/fs/cgroup:tmpfs) mount -t tmpfs tmpfs "$root$folder" ;;
    /sys/fs/cgroup*:cgroup)
        controller=$(basename "$folder")
        [ "$controller" = systemd ] && controller=none,name=systemd
        mkdir -p "$root$folder"
        mount -t cgroup -o "$controller" cgroup "$root$folder"
        ;;
    /sys/fs/cgroup*:cgroup2)
        mkdir -p "$root$folder"
        mount -t cgroup2 cgroup2 "$root$folder"
        ;;
    esac
done < /proc/mounts
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mkdir -p "$root/opt/rust" "$root/before"
mount --bind "$toolchain" "$root/opt/rust"
mount -o remount,bind,ro "$root/opt/rust"
cd "$root"
pivot_root . before
umount -l /before
rmdir /before
cd /root/ashlar
# Not exec: this shell is the first process and ends what others leave.
"$@"
