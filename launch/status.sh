# What scripts ask of a run's folder.

# The path that a flag gives among the script's arguments, `~` expanded.
value_of() {
  local flag=$1 found=""
  shift
  while (($#)); do
    case $1 in
      "$flag") found=${2-} ;;
      "$flag"=*) found=${1#*=} ;;
    esac
    shift
  done
  [[ $found == "~/"* ]] && found=$HOME/${found:2}
  echo "$found"
}

# One word, or number, of a run's status.json, which has a line for each.
status_word() {
  sed -n "s/^ *\"$2\": \"\{0,1\}\(.*[^\",]\)\"\{0,1\},\{0,1\}$/\1/p" "$1/status.json"
}

# Which status.json lies in this folder; nothing where none does. Each that is written has another stamp.
status_stamp() {
  stat -c '%i %y' "$1/status.json" 2>/dev/null || true
}

# Whether a status.json was written since the stamp was this: else it tells of an earlier run.
written_since() {
  [[ $(status_stamp "$1") != "$2" ]]
}
