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

beat() { # a process of its own, started anew with each change of the sentinels; ends when its parent is gone
    seq=0
    while sleep "$TICK" && kill -0 $$; do
        left=
        for key in $armed; do
            pid=${key#*:}
            if birth "${pid%:*}" && [ "$born" = "${pid#*:}" ]; then left="$left $key"; else echo "$T d ${key%%:*} ${pid%:*}"; fi
        done
        armed=$left seq=$((seq + 1))
        echo "$T t $seq" || exit
    done
}

arm() { # check pid…: these and no others; the start time of those that stay is kept
    n=$1 left=
    shift
    for key in $armed; do
        pid=${key#*:}
        case "$key/ $* " in "$n":*" ${pid%:*} "*) left="$left $key" ;; "$n":*) ;; *) left="$left $key" ;; esac
    done
    for pid; do
        case " $left" in *" $n:$pid:"*) continue ;; esac
        if birth "$pid"; then left="$left $n:$pid:$born"; else echo "$T d $n $pid"; fi
    done
    armed=$left
    kill -KILL "$ticker"
    beat </dev/null &
    ticker=$!
}

begin() { # check: one run at a time
    eval "pid=\$job_$1 command=\$command_$1"
    [ -n "$pid" ] && kill -0 "-$pid" && return
    run=$((run + 1))
    echo "$T b $1 $run"
    setsid sh -c "$JOB" job "$T" "$1" "$run" "$LIMIT" "$command" </dev/null &
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
    n=${rest%% *} rest=${rest#* }
    case $op in
    c) eval "command_$n=\$(printf %b \"\$rest\")" ;;
    r) begin "$n" ;;
    k) eval "pid=\$job_$n"; [ -n "$pid" ] && kill "-$rest" "-$pid" ;;
    s) [ "$rest" = "$n" ] && rest=; arm "$n" $rest ;;
    esac
done
kill -KILL "$ticker"
for pid in $groups; do kill -TERM "-$pid"; done
sleep 1
for pid in $groups; do kill -KILL "-$pid"; done
