# The watch for a POSIX sh, where there is no bash: the same lines as watch.sh, without event streams, and sentinels that
# only tell: the run is then asked for from our side. The header sets T, TICK, LIMIT and JOB, the text of job.sh.
exec 2>/dev/null
export LC_ALL=C NO_COLOR=1 TERM=dumb PATH="$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
run=0 ticker= armed= groups=

birth() { # pid: sets born; fails where there is no such process, or a dead one
    stat=
    IFS= read -r stat <"/proc/$1/stat"
    set -- ${stat##*) }
    case $1 in [ZXx] | '') return 1 ;; esac
    shift 19
    born=$1
}

same() { # PID/FILE:BORN
    birth "${1%%/*}" && [ "$born" = "${1#*:}" ]
}

beat() { # a process of its own, started anew with each change of the sentinels; ends when its parent is gone
    seq=0
    while sleep "$TICK" && kill -0 $$; do
        left= seq=$((seq + 1)) turn=$seq
        for key in $armed; do # CHECK:PID/FILE:BORN; each is looked at thoroughly once a round
            one=${key#*:} turn=$((turn + 1))
            if [ -e "/proc/${one%:*}" ] && { [ $((turn % ROUND)) -ne 0 ] || same "$one"; }; then
                left="$left $key"
            else
                echo "$T d ${key%%:*} ${one%%/*}"
            fi
        done
        armed=$left
        echo "$T t $seq" || exit
    done
}

arm() { # check pid…: these and no others; the start time of those that stay is kept
    n=$1 left=
    shift
    for key in $armed; do
        one=${key#*:}
        case "$key: $* " in "$n":*" ${one%%/*} "*) left="$left $key" ;; "$n":*) ;; *) left="$left $key" ;; esac
    done
    for pid; do
        case " $left" in *" $n:$pid/"*) continue ;; esac
        if ! birth "$pid"; then
            echo "$T d $n $pid"
            continue
        fi
        for look in exe net/dev stat; do [ -e "/proc/$pid/$look" ] && break; done
        left="$left $n:$pid/$look:$born"
    done
    armed=$left
    kill -KILL "$ticker"
    beat </dev/null &
    ticker=$!
}

begin() { # check [sum]: one run at a time
    eval "pid=\$job_$1 command=\$command_$1"
    [ -n "$pid" ] && kill -0 "-$pid" && return
    run=$((run + 1))
    echo "$T b $1 $run"
    setsid sh -c "$JOB" job "$T" "$1" "$run" "$LIMIT" "$command" "$2" </dev/null &
    eval "job_$1=$!"
    left=$!
    for pid in $groups; do kill -0 "-$pid" && left="$left $pid"; done
    groups=$left
}

[ -e /proc/1/stat ]
echo "$T h $(id -u) $? sh"
beat </dev/null &
ticker=$!
while IFS= read -r line; do
    op=${line%% *} rest=${line#* }
    n=${rest%% *}
    rest=${rest#"$n"} rest=${rest# } # nothing where only a number came
    case $op in
    c) eval "command_$n=\$(printf %b \"\$rest\")" ;;
    r) begin "$n" "$rest" ;;
    k) eval "pid=\$job_$n"; [ -n "$pid" ] && kill "-$rest" "-$pid" ;;
    s) arm "$n" $rest ;;
    esac
done
kill -KILL "$ticker"
for pid in $groups; do kill -TERM "-$pid"; done
sleep 1
for pid in $groups; do kill -KILL "-$pid"; done
