# A PostgreSQL for one test process: `sh postgres.sh BIN [SETTING…]`, with BIN the folder of its programs.
#
# It says the folder of its socket. Then it obeys a word a line (start, stop, restart, pause, go) and says `done`.
# When its input ends, however the test process has ended, it stops the server and takes everything away.
bin=$1
shift
settings="-h ''"
for setting; do settings="$settings -c $setting"; done
folder=$(mktemp -d -t tower-oauth-postgres.XXXXXX) || exit 1
ctl() { "$bin/pg_ctl" -D "$folder/data" -l "$folder/log" -s -w "$@" >>"$folder/log" 2>&1 </dev/null; }
# The server and its children, each of which is a group of its own.
signal() {
    postmaster=$(head -n 1 "$folder/data/postmaster.pid") &&
        kill "-$1" "$postmaster" $(cat "/proc/$postmaster/task/$postmaster/children")
}
end() {
    signal CONT 2>/dev/null
    ctl stop -m immediate
    rm -rf "$folder"
}
trap end EXIT
trap 'exit 1' HUP INT TERM
"$bin/initdb" -D "$folder/data" -U postgres -A trust -E UTF8 --locale=C -N >"$folder/log" 2>&1 || cat "$folder/log" >&2
echo "$folder"
while read -r word; do
    case $word in
    start) ctl start -o "-k $folder $settings" ;;
    stop) ctl stop -m fast ;;
    restart) ctl restart -m fast -o "-k $folder $settings" ;;
    pause) signal STOP ;;
    go) signal CONT ;;
    esac && echo done || {
        cat "$folder/log" >&2
        exit 1
    }
done
