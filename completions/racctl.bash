# bash completion for racctl; generated, static: TAB never starts Python
_racctl() {
    local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" words=""
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        words="count info pose remap-joints score synth --help --version"
        COMPREPLY=($(compgen -W "$words" -- "$word"))
        return
    fi
    case "${COMP_WORDS[1]} $before" in
    "count --alternating") words="each pair" ;;
    "count --person") words="main all" ;;
    "count --pose-model") words="full lite heavy" ;;
    "count --format") words="table parquet csv json" ;;
    "info --format") words="text json" ;;
    "pose --model") words="full lite heavy" ;;
    "score --format") words="table parquet csv json" ;;
    "synth --speed") words="slow fast mixed any" ;;
    esac
    if [ -z "$words" ] && [ "${word:0:1}" = - ]; then
        case "${COMP_WORDS[1]}" in
        count) words="--model --reps --alternating --person --start --stop --stride --plot --overlay --video --pose-model --download --jobs -o --output --format -q --quiet --debug --help" ;;
        info) words="-o --output --format -q --quiet --debug --help" ;;
        pose) words="--model --people --start --stop --stride --jobs --download -o --output -q --quiet --debug --help" ;;
        remap-joints) words="--to --from --fps --size -o --output -q --quiet --debug --help" ;;
        score) words="--truth --against --per-class --round --no-round --exclude-known-bad --resamples --seed -o --output --format -q --quiet --debug --help" ;;
        synth) words="--out --clips --classes --split --speed --size --fps --reps --clean --pose-only --exact --protocol --seconds --list --seed --jobs -q --quiet --debug --help" ;;
        esac
    fi
    [ -z "$words" ] || COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o default -F _racctl racctl
