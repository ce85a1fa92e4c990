# Sourced by the lab's stand-ins: what the lab keeps of a node in $LAB_NODE, and what /proc says about it now.
# Built-ins only: a stand-in has to answer within milliseconds.
#   proc/NAME     "PID START" of a daemon or virtual machine; START is field 22 of /proc/PID/stat
#   containers    a line each: ID SANDBOX NAME ATTEMPT NAMESPACE POD UID CREATED PID START
#   domains       a line each: NUMBER NAME; the name is also that of the file under proc/
#   ruleset       what nft lists; ruleset.boot and iptables.boot: what a well node lists
#   monitors/     a FIFO for each listening event command, TOOL.PID
node=${LAB_NODE:?this command is a stand-in and works inside the lab only}

die() { # EXIT-CODE TEXT
  printf '%s\n' "$2" >&2
  exit "$1"
}

same() { # PID START: sets state; true while this is still the same process, and no zombie
  local stat
  state=X
  [[ -e /proc/$1/stat ]] || return
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return
  # shellcheck disable=SC2086 # the fields after "pid (comm) " are to be split
  set -- "$2" ${stat##*) }
  state=$2
  [[ $state != [ZX] && ${21} == "$1" ]]
}

alive() { # NAME: sets pid, state; true while the process kept under proc/NAME lives
  local start
  pid=0
  [[ -e $node/proc/$1 ]] || return
  read -r pid start <"$node/proc/$1"
  same "$pid" "$start" || { pid=0; return 1; }
}

listen() { # TOOL: sets fd, on which a line arrives for each event of TOOL
  local fifo
  for fifo in "$node/monitors/$1".*; do # those of commands that were killed
    [[ ! -p $fifo || -e /proc/${fifo##*.} ]] || rm -f "$fifo"
  done
  fifo=$node/monitors/$1.$$
  mkfifo -m 600 "$fifo" || exit 1
  exec {fd}<>"$fifo"
  # shellcheck disable=SC2064 # the name as it is now
  trap "rm -f '$fifo'" EXIT
}

announce() { # TOOL LINE: sends LINE to everyone who listens; opened for both ways, a FIFO never blocks
  local fifo
  for fifo in "$node/monitors/$1".*; do
    [[ ! -p $fifo ]] || printf '%s\n' "$2" 1<>"$fifo"
  done
}
