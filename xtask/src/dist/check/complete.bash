# What bash offers after `build-mem adv`, with the completions of file $1.
set -u
source "$1"
# Its function has the name that bash was told.
function=$(complete -p build-mem | sed 's/.* -F \([^ ]*\) .*/\1/')
COMP_WORDS=(build-mem adv)
COMP_CWORD=1
"$function" build-mem adv build-mem
printf '%s\n' "${COMPREPLY[@]}"
