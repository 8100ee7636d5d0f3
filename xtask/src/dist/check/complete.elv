# What elvish offers after `build-mem adv`, with the completions of file $args[0]. It has its editor's names on a terminal
# only, so it is lent them. To choose those that begin as what was typed is left to the editor.
var completion = (ns [&arg-completer=[&]])
var edit = (ns [&completion:=$completion &complex-candidate~={|text &display='' &code-suffix=''| put $text }])
eval &ns=(ns [&edit:=$edit]) (slurp < $args[0])
$completion[arg-completer][build-mem] build-mem adv | each $echo~
