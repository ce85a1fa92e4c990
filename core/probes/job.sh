# One run of a check, in a process group of its own: $1 token, $2 check, $3 run, $4 most octets, $5 command.
# Standard output goes out as it comes, standard error (its tail) with the end. POSIX sh; both watch scripts use it.
# Every line stays under PIPE_BUF, so that lines of several processes never mix.
exec 5>&1
err=$({
    { (eval "$5") 5>&-; echo "$1 c $2 $3 $?" >&5; } |
    head -c "$4" | base64 -w 2000 | awk -v p="$1 o $2 $3 " '{ print p $0; fflush() }' >&5
} 2>&1 | tail -c 2900)
[ -z "$err" ] || err=$(printf %s "$err" | base64 -w 0)
printf '%s x %s %s %s\n' "$1" "$2" "$3" "$err"
