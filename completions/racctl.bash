# bash completion for racctl; generated, static: TAB never starts Python
_racctl() {
    local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" words=""
    local tool="${COMP_WORDS[1]}"
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        words="angles check-labels classify compare convert count demo encode export info log mask pose remap-joints score synth train --help --version"
        COMPREPLY=($(compgen -W "$words" -- "$word"))
        return
    fi
    case "$tool" in
    train)
        if [ "$COMP_CWORD" -eq 2 ]; then
            words="recogniser encoder counter --help"
            COMPREPLY=($(compgen -W "$words" -- "$word"))
            return
        fi
        tool="$tool ${COMP_WORDS[2]}" ;;
    esac
    case "$tool $before" in
    "angles --space") words="auto 3d 2d" ;;
    "angles --filter") words="none butterworth savitzky-golay" ;;
    "angles --reps") words="count" ;;
    "angles --person") words="main all" ;;
    "angles --pose-model") words="full lite heavy mediapipe mediapipe-lite mediapipe-heavy" ;;
    "angles --format") words="table parquet csv json" ;;
    "check-labels --format") words="table parquet csv json" ;;
    "classify --model") words="joints" ;;
    "classify --unknown") words="auto off" ;;
    "classify --mask-model") words="blazepose blazepose-lite blazepose-heavy selfie yolov8n-seg yolov8s-seg yolov8m-seg" ;;
    "classify --device") words="auto cpu cuda mps" ;;
    "classify --format") words="table parquet csv json" ;;
    "compare --missing") words="error skip zero" ;;
    "compare --format") words="table parquet csv json" ;;
    "convert --to") words="racctl vtt srt eaf activitynet via label-studio repcount countix csv openpose coco mmpose trc c3d" ;;
    "convert --as") words="auto reps segments" ;;
    "count --model") words="combined periodicity d2stx escounts transrac skimfocus" ;;
    "count --person") words="main all" ;;
    "count --device") words="auto cpu cuda mps" ;;
    "count --pose-model") words="full lite heavy mediapipe mediapipe-lite mediapipe-heavy" ;;
    "count --format") words="table parquet csv json" ;;
    "count --alternating") words="each pair" ;;
    "count --branches") words="both pose video" ;;
    "encode --mask-model") words="blazepose blazepose-lite blazepose-heavy selfie yolov8n-seg yolov8s-seg yolov8m-seg" ;;
    "encode --pose-model") words="full lite heavy mediapipe mediapipe-lite mediapipe-heavy" ;;
    "encode --layout") words="racctl escounts" ;;
    "encode --device") words="auto cpu cuda mps" ;;
    "encode --encoder") words="silhouette blazepose r2plus1d_18 swin3d_t swin3d_t_skim resnext3d_101 videomae_vit_b none" ;;
    "encode --pose-encoder") words="ctrgcn none" ;;
    "encode --dataset") words="repcount countix ucfrep" ;;
    "export --precision") words="float32 float16 int8" ;;
    "info --format") words="text json" ;;
    "log --model") words="joints" ;;
    "log --space") words="auto 3d 2d" ;;
    "log --person") words="main all" ;;
    "log --pose-model") words="full lite heavy mediapipe mediapipe-lite mediapipe-heavy" ;;
    "log --device") words="auto cpu cuda mps" ;;
    "log --format") words="table parquet csv json" ;;
    "mask --model") words="blazepose blazepose-lite blazepose-heavy selfie yolov8n-seg yolov8s-seg yolov8m-seg" ;;
    "mask --size") words="full" ;;
    "mask --person") words="tracked largest central" ;;
    "pose --model") words="full lite heavy mediapipe mediapipe-lite mediapipe-heavy" ;;
    "pose --backend") words="racctl mediapipe" ;;
    "remap-joints --from") words="poserac kinect d2stx openpose openpose25b coco mediapipe" ;;
    "score --missing") words="error skip zero" ;;
    "score --format") words="table parquet csv json" ;;
    "synth --speed") words="slow fast mixed any wide" ;;
    "synth --errors") words="none blazepose varied" ;;
    "train recogniser --model") words="mcat mlp lstm tcn transformer vivit" ;;
    "train recogniser --device") words="auto cpu cuda mps" ;;
    "train recogniser --input") words="both raw mask pose" ;;
    "train recogniser --crop") words="frame person" ;;
    "train recogniser --fusion") words="cross concat add none" ;;
    "train recogniser --precision") words="auto 32 bf16" ;;
    "train encoder --model") words="ctrgcn silhouette" ;;
    "train encoder --device") words="auto cpu cuda mps" ;;
    "train encoder --objective") words="label density both" ;;
    "train encoder --precision") words="auto 32 bf16" ;;
    "train counter --model") words="d2stx escounts transrac skimfocus" ;;
    "train counter --device") words="auto cpu cuda mps" ;;
    "train counter --preset") words="small paper" ;;
    "train counter --branches") words="both video pose" ;;
    "train counter --guide") words="both video pose" ;;
    "train counter --fusion") words="decoupled coupled" ;;
    "train counter --decision") words="learned fixed" ;;
    "train counter --compat") words="paper release" ;;
    "train counter --similarity") words="self joint" ;;
    "train counter --scale-fusion") words="concat gate" ;;
    "train counter --precision") words="auto 32 bf16" ;;
    esac
    if [ -z "$words" ] && [ "${word:0:1}" = - ]; then
        case "$tool" in
        "angles") words="--space --filter --min-score --reps --person --start --stop --stride --rate --pose-model --download --jobs -o --output --format --cutoff --order --window --polynomial --files-from -q --quiet --debug -h --help" ;;
        "check-labels") words="--exclude-known-bad --known-bad -o --output --format -q --quiet --debug -h --help" ;;
        "classify") words="--model --windows --whole --smooth --unknown --start --stop --video --pose --mask-model --explain --download --device --threads --jobs -o --output --format --dataset --split --videos --masks --poses --cache --files-from -q --quiet --debug -h --help" ;;
        "compare") words="--truth --missing --plot --resamples --seed -o --output --format -q --quiet --debug -h --help" ;;
        "convert") words="--to --fps --as -o --output -q --quiet --debug -h --help" ;;
        "count") words="--model --reps --person --start --stop --stride --rate --plot --overlay --video --device --threads --pose-model --download --jobs -o --output --format --alternating --branches --exemplar --shots --explain --files-from -q --quiet --debug -h --help" ;;
        "demo") words="-o --output -q --quiet --debug -h --help" ;;
        "encode") words="--video --mask --pose --mask-model --pose-model --start --stop --reps --layout --device --threads --jobs -o --output --encoder --pose-encoder --weights --pose-weights --random-weights --preset --window --stride --rate --moments --batch --compile --download --seed --dataset --root --split --annotations --exemplars --exclude-known-bad --files-from -q --quiet --debug -h --help" ;;
        "export") words="--precision --calibrate -o --output -q --quiet --debug -h --help" ;;
        "info") words="-o --output --format -q --quiet --debug -h --help" ;;
        "log") words="--reps --model --space --person --start --stop --rate --pose-model --download --device --threads --jobs -o --output --format --files-from -q --quiet --debug -h --help" ;;
        "mask") words="--model --size --person --hold --threshold --start --stop --stride --overlay --jobs --download -o --output --files-from -q --quiet --debug -h --help" ;;
        "pose") words="--model --backend --people --start --stop --stride --rate --features --jobs --download -o --output --files-from -q --quiet --debug -h --help" ;;
        "remap-joints") words="--to --from --fps --size --minmax -o --output --files-from -q --quiet --debug -h --help" ;;
        "score") words="--truth --against --per-class --round --no-round --exclude-known-bad --missing --no-null --null --split --confusion --resamples --seed -o --output --format -q --quiet --debug -h --help" ;;
        "synth") words="--out --clips --classes --split --speed --size --fps --reps --clean --pose-only --errors --protocol --seconds --list --seed --jobs -q --quiet --debug -h --help" ;;
        "train") words="-h --help" ;;
        "train recogniser") words="-o --output --model --device --threads --train-split --val-split --init --licence --width --tempo --drop --minmax --loop --layouts --flat --null --no-null --videos --masks --poses --cache --input --crop --size --window --stride --layers --fusion --pose --patch --fps --outliers --epochs --batch --rate --weight-decay --seed --patience --precision -q --quiet --debug -h --help" ;;
        "train encoder") words="-o --output --model --device --threads --train-split --val-split --init --licence --width --tempo --drop --minmax --null --no-null --videos --masks --poses --cache --stride --objective --epochs --batch --rate --weight-decay --seed --patience --precision -q --quiet --debug -h --help" ;;
        "train counter") words="-o --output --model --device --threads --train-split --val-split --init --licence --features --val-data --val-features --preset --branches --shots --chain --joint --guide --fusion --decision --compat --similarity --matrix-drop --neighbours --scale-fusion --epochs --batch --rate --weight-decay --seed --patience --precision -q --quiet --debug -h --help" ;;
        esac
    fi
    [ -z "$words" ] || COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o default -F _racctl racctl
