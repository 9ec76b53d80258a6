"""Print completions for a shell: commands, options, pipelines, parameters, runs, steps.

bash:  eval "$(hw completions bash)"           in ~/.bashrc
zsh:   eval "$(hw completions zsh)"            in ~/.zshrc, after compinit
fish:  hw completions fish | source            in ~/.config/fish/config.fish
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

_BASH = r"""
_hw() {
    local line="${COMP_LINE:0:COMP_POINT}" current="${COMP_WORDS[COMP_CWORD]}" found
    local -a words
    read -ra words <<< "$line"
    [[ "$line" == *[[:space:]] ]] && words+=("")
    mapfile -t found < <("${words[0]}" --complete "${words[@]:1}" 2>/dev/null)
    # Bash takes : and = for the ends of words; what stands before the last of them must not be said again.
    local last="${words[-1]}"
    [[ "$current" == [:=] ]] && current=""
    local before="${last%"$current"}"
    COMPREPLY=("${found[@]#"$before"}")
    [[ ${#COMPREPLY[@]} -eq 1 && "${COMPREPLY[0]}" == *[/=:] ]] && compopt -o nospace
    return 0
}
complete -o default -F _hw hw headwater
"""

_ZSH = r"""
_hw() {
    local -a found ends whole
    found=("${(@f)$("${words[1]}" --complete "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
    found=("${(@)found:#}")
    if (( ${#found} == 0 )); then
        _files
        return
    fi
    ends=("${(@M)found:#*[/=:]}")
    whole=("${(@)found:#*[/=:]}")
    (( ${#ends} )) && compadd -Q -S '' -- "${ends[@]}"
    (( ${#whole} )) && compadd -Q -- "${whole[@]}"
}
compdef _hw hw headwater
"""

_FISH = r"""
function __hw_complete
    set -l words (commandline -opc) (commandline -ct)
    $words[1] --complete $words[2..-1] 2>/dev/null
end
complete -c hw -a '(__hw_complete)'
complete -c headwater -a '(__hw_complete)'
"""

SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("shell", choices=list(SCRIPTS), help="the shell that is to complete")


def run(args: argparse.Namespace) -> int:
    """Carry the command out."""
    print(SCRIPTS[args.shell].strip())
    return 0
