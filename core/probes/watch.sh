# The watch for bash (4 or newer). Sent over standard input after a header that sets T (token), TICK and LIMIT and
# defines job(). It knows nothing of kinds: it beats, looks at processes, runs what it is given, and says so in lines.
#   in:  c N COMMAND  define · r N [SUM]  run · k N SIGNAL  kill the run · s N PID…  sentinels · e N COMMAND  event stream · .
#   out: t SEQ  tick · d N PID  dead · b N RUN  begins · o N RUN BASE64  output · x N RUN CODE STDERR  ends
#        i N RUN SUM CODE STDERR  ends, its output has that sum · v N  event · w N CODE
#        u TICKS  what the script and its commands have cost so far, in clock ticks of CPU
set -m # each job is a process group that can be killed whole
exec 2>/dev/null
export LC_ALL=C NO_COLOR=1 TERM=dumb PATH="$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
declare -a CMD=() JOB=() KILLED=() AGAIN=() STREAM=()
declare -A BORN=() LOOK=()
run=0 seq=0 looked=0 stale= buffer=
cd /proc/ # paths that begin here are the shortest; commands run where the login shell began

finish() { # group…
    local pid
    # sudo passes TERM on to a command that may not be killed from here, and could not do so when killed itself.
    for pid; do kill -TERM -- "-$pid"; done
    sleep 1
    for pid; do kill -KILL -- "-$pid"; done
}

# Outlives everything else and ends what is left, also when this shell is killed, be it with its process group: it has one of
# its own. Nothing heard for a minute: ends it too.
guard() {
    trap '' HUP INT TERM
    local -A group=()
    local sign pid code=0
    while ((code == 0)); do
        read -r -t 60 sign pid
        code=$?
        case $sign in +) group[$pid]=1 ;; -) unset "group[$pid]" ;; esac
    done
    ((code > 128)) && kill -KILL $$
    finish "${!group[@]}"
}
coproc GUARD { exec >/dev/null; guard; }
exec 9>&"${GUARD[1]}" {GUARD[0]}<&- {GUARD[1]}>&-
trap 'finish "${JOB[@]}" "${STREAM[@]}"; exit' PIPE # the guard was killed

begin() { # check [sum]: one run at a time; asked for during a run, one more follows it
    if [[ ${JOB[$1]} ]]; then AGAIN[$1]=-$2; return; fi
    printf '%s b %s %s\n' "$T" "$1" $((++run))
    { cd "$OLDPWD"; job "$T" "$1" "$run" "$LIMIT" "${CMD[$1]}" "$2"; } </dev/null 9>&- &
    JOB[$1]=$! KILLED[$1]= AGAIN[$1]=
    printf '+ %s\n' "$!" >&9
}

# Whether a process group that was killed has anybody who is no zombie: those whom nobody reaps, where process 1 does not, are gone.
lives() { # group
    local file stat
    for file in [0-9]*/stat; do
        IFS= read -r -d '' stat <"$file"
        set -- "$1" ${stat##*) } # state is field 3 of all, the group field 5
        [[ $4 == "$1" && $2 != [ZXx] ]] && return
    done
    return 1
}

reap() {
    local n pid
    for n in "${!JOB[@]}"; do
        pid=${JOB[n]}
        if kill -0 -- "-$pid"; then
            [[ ${KILLED[n]} ]] && ((KILLED[n] < SECONDS)) || continue
            KILLED[n]=$SECONDS
            lives "$pid" && continue
        fi
        # What sudo started may hang on although nothing of ours is left: then no second one is started beside it.
        [[ ${KILLED[n]} && $(kill -0 -- "-$pid" 2>&1) == *permitted* ]] && continue
        unset "JOB[n]"
        printf -- '- %s\n' "$pid" >&9
        [[ ${AGAIN[n]} ]] && begin "$n" "${AGAIN[n]#-}"
    done
}

birth() { # pid: sets born, which tells a reused pid; fails where there is no such process, or a dead one
    local stat=
    IFS= read -r -d '' stat <"$1/stat"
    set -- ${stat##*) } # after the name, which may hold anything: state is field 3, start time field 22
    born=${20}
    [[ $1 == [!ZXx] ]]
}

dead() { # key
    unset "BORN[$1]" "LOOK[$1]"
    printf '%s d %s %s\n' "$T" "${1%%:*}" "${1#*:}"
    begin "${1%%:*}"
    stale=1
}

# Ticks until a sentinel is missing or there are others. Each is looked for at each tick, and whether it is a zombie at every
# fourth, which costs twice as much. One expression, for a loop over them would cost three times as much, and around the
# ticks: bash copies a function at each call, and would copy them all.
aim() {
    local key all= zombies=
    for key in "${!BORN[@]}"; do all+=" && -e ${key#*:}" zombies+=" && -e ${LOOK[$key]}"; done
    eval "attend() { while [[ ! \$stale$all ]] && { ((seq % 4)) || [[ x$zombies ]]; }; do tick; done; }"
    stale=
}

arm() { # check pid…: these and no others
    local n=$1 pid key look
    local -A wanted=()
    shift
    for pid; do wanted[$n:$pid]=1; done
    for key in "${!BORN[@]}"; do
        [[ $key == "$n":* && ! ${wanted[$key]} ]] && unset "BORN[$key]" "LOOK[$key]"
    done
    for pid; do
        key=$n:$pid
        [[ ${BORN[$key]} ]] && continue
        if birth "$pid"; then BORN[$key]=$born; else dead "$key"; continue; fi
        # The first two are not there for a zombie; exe costs least, and is there only where we may look.
        for look in exe net/dev stat; do
            LOOK[$key]=$pid/$look
            [[ -e $pid/$look ]] && break
        done
    done
    stale=1
}

thorough() { # key
    birth "${1#*:}" && [[ $born == "${BORN[$1]}" ]] || dead "$1"
}

missing() {
    local key
    for key in "${!BORN[@]}"; do [[ -e ${LOOK[$key]} ]] || dead "$key"; done
}

# Numbers of processes are given in turn, so none is reused between two ticks, unless this shell stood still: then all are
# looked at thoroughly, and once a round in any case.
round() {
    local key
    for key in "${!BORN[@]}"; do thorough "$key"; done
    spent
}

stream() { # check command: says that something happened, never what; at once, and ten times a second at most
    local more= count
    cd "$OLDPWD"
    exec 8<> <(:) # never has anything to read
    eval "$2" 8>&- | sed -un 's/.*/v/p' 8>&- | while [[ $more ]] || read -r _; do
        printf '%s v %s\n' "$T" "$1"
        read -r -t 0.1 -u 8
        more= count=0
        while read -t 0 && read -r _; do
            more=1
            ((++count < 100)) && continue
            timeout 1 cat 8>&- >/dev/null # a flood is read in bulk, for next to nothing
            break
        done
    done
    printf '%s w %s %s\n' "$T" "$1" "${PIPESTATUS[0]}"
}

obey() { # line
    local op=${1%% *} rest=${1#* }
    local n=${rest%% *}
    rest=${rest#"$n"} rest=${rest# } # nothing where only a number came
    case $op in
    c) printf -v "CMD[$n]" %b "$rest" ;;
    r) begin "$n" "$rest" ;;
    k) [[ ${JOB[n]} ]] && KILLED[n]=$SECONDS && kill "-$rest" -- "-${JOB[n]}" ;;
    s) arm "$n" $rest ;;
    e)
        printf -v rest %b "$rest"
        stream "$n" "$rest" </dev/null 9>&- &
        STREAM[n]=$!
        printf '+ %s\n' "$!" >&9
        ;;
    esac
    echo . >&9
}

spent() {
    local stat=
    IFS= read -r -d '' stat <$$/stat
    set -- ${stat##*) }
    (($# < 15)) || printf '%s u %s\n' "$T" $((${12} + ${13} + ${14} + ${15}))
}

tick() { # each command in here costs, twenty times a second
    if read -r -t "$TICK"; then # into REPLY, with its blanks
        obey "$buffer$REPLY"
        buffer=
    elif (($? > 128)); then buffer+=$REPLY # what came before the time was over is part of the line
    else exit; fi
    ((++seq % ROUND && SECONDS - looked < 2)) || round
    looked=$SECONDS
    ((${#JOB[@]})) && reap
    printf '%s t %s\n' "$T" "$seq"
}

watch() {
    [[ -e /proc/1/stat ]]
    printf '%s h %s %s %s\n' "$T" "$EUID" $? "$BASH_VERSION"
    while :; do
        aim
        attend
        missing
    done
}
watch
