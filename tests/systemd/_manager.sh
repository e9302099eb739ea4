# Becomes systemd, in namespaces that are there already, with no unit but those of $1/units. What it and its services
# change in /etc, /usr/local and /var/lib ends with them.
set -e
readonly top=$1

mount --make-rprivate /
# It sets limits of the kernel when it starts.
mount -t proc proc /proc
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount -t tmpfs tmpfs /run

mkdir "$top/dev"
mount -t tmpfs -o mode=755 tmpfs "$top/dev"
for name in null zero full random urandom tty kmsg fuse; do
  if [ -e /dev/$name ]; then
    touch "$top/dev/$name"
    mount --bind /dev/$name "$top/dev/$name"
  fi
done
mkdir "$top/dev/shm" "$top/dev/pts"
ln -s /proc/self/fd "$top/dev/fd"
ln -s null "$top/dev/console"
mount --rbind "$top/dev" /dev

for directory in /etc /usr/local; do
  mkdir -p "$top/changed$directory/upper" "$top/changed$directory/work"
  mount -t overlay overlay "$directory" \
    -o "lowerdir=$directory,upperdir=$top/changed$directory/upper,workdir=$top/changed$directory/work"
done
mkdir "$top/lib"
mount --bind "$top/lib" /var/lib
cp "$top/lamina" /usr/local/bin/lamina

mount -t cgroup2 cgroup2 /sys/fs/cgroup

# It says what it is, and systemd keeps its hands off the machine.
export container=lamina-test SYSTEMD_UNIT_PATH=$top/units
exec /lib/systemd/systemd --log-target=null --unit=test.target </dev/null
