# What fish offers after `build-mem adv`, with the completions of file $argv[1].
source $argv[1]
complete --do-complete "build-mem adv"
