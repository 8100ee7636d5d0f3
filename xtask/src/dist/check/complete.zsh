# What zsh makes of `build-mem adv` and the tabulator, with the completions of file $1. Only a shell on a terminal completes.
zmodload zsh/zpty || exit 1
zpty shell "TERM=dumb zsh -f -i"
# The words that are waited for are in two parts where the terminal echoes what was typed.
zpty -w shell "PS1=; fpath=(${1:h} \$fpath); autoload -Uz compinit; compinit -u -D; build-mem() { print ra''n \$1 }; print rea''dy"
zpty -r -m shell out "*ready*" || exit 1
zpty -w shell "build-mem adv"$'\t'
zpty -r -m shell out "*ran [^ ]*"$'\n'"*" || exit 1
print -r -- "$out"
