# One run of a check, in a process group of its own: $1 token, $2 check, $3 run, $4 most octets, $5 command, $6 the SHA-256 of an
# output that is known, or nothing. Says all at its end: the output, or that it is the known one; exit code; the tail of
# standard error. POSIX sh; both watch scripts use it. Every line stays under PIPE_BUF, so that lines of several processes never mix.
token=$1 check=$2 run=$3 known=$6
all=$(
    exec 6>&1
    err=$({
        code=$({ { (eval "$5") 3>&- 6>&-; echo $? >&3; } | head -c "$4" | base64 -w 2000 >&6; } 3>&1)
        printf .%s. "$code" >&6
    } 2>&1 | tail -c 2900)
    [ -z "$err" ] || printf %s "$err" | base64 -w 0
)
IFS=. # is not in base64; cutting $all by a pattern would take bash a time that grows with the square of its length
set -- $all
if [ "$known" ] && [ "$(printf %s "$1" | sha256sum)" = "$known  -" ]; then
    printf '%s i %s %s %s %s %s\n' "$token" "$check" "$run" "$known" "$2" "$3"
else
    IFS='
'
    for line in $1; do printf '%s o %s %s %s\n' "$token" "$check" "$run" "$line"; done
    printf '%s x %s %s %s %s\n' "$token" "$check" "$run" "$2" "$3"
fi
