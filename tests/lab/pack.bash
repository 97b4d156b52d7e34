# What goes into the lab: the list of files, the job, the initramfs. Read by `run`.
#
# Reads command, program, files, outs, modules, environment, memory, memory_mib, base and dir.
# shellcheck shell=bash disable=SC2154

# Paths of what is packed, as the keys.
declare -A packed=()
declare -A programs=()
elves=()

# Packs a path's every folder and symbolic link, and the file at its end; sets resolved to that.
pack_path() {
    local rest=$1 part target links=0
    resolved=
    while [ -n "$rest" ]; do
        part=${rest%%/*}
        if [[ $rest == */* ]]; then rest=${rest#*/}; else rest=; fi
        case $part in
        '' | .) continue ;;
        ..)
            resolved=${resolved%/*}
            continue
            ;;
        esac
        resolved+=/$part
        packed[$resolved]=1
        if [ -L "$resolved" ]; then
            links=$((links + 1))
            [ $links -le 40 ] || die 125 "$1: too many symbolic links"
            target=$(readlink "$resolved")
            rest=$target${rest:+/$rest}
            if [[ $target == /* ]]; then resolved=; else resolved=${resolved%/*}; fi
        fi
    done
}

# Packs what an executable file needs to start: a script's interpreter now, libraries later.
pack_needs() {
    local file=$1 magic line word
    [ -z "${programs[$file]-}" ] || return 0
    programs[$file]=1
    magic=
    LC_ALL=C read -r -d '' -N 4 magic 2>/dev/null <"$file" || true
    if [ "$magic" = $'\x7fELF' ]; then
        elves+=("$file")
    elif [ "${magic:0:2}" = '#!' ]; then
        IFS= read -r line <"$file" || true
        read -r -a line <<<"${line:2}" || true
        for word in "${line[0]-}" "$([[ ${line[0]-} != */env ]] || type -P -- "${line[1]-}")"; do
            if [ -f "$word" ]; then
                pack_path "$word"
                pack_needs "$resolved"
            fi
        done
    fi
}

# Packs a file with its needs, or a folder with all that is in it.
pack() {
    local path file
    path=$(realpath -s -- "$1")
    case $path in
    # Inside there are ones of its own.
    / | /proc | /proc/* | /sys | /sys/* | /dev | /dev/* | /run | /tmp) return 0 ;;
    esac
    pack_path "$path"
    if [ -d "$resolved" ]; then
        while IFS= read -r -d '' file; do
            packed[$file]=1
            if [ -f "$file" ] && [ -x "$file" ] && [ ! -L "$file" ]; then pack_needs "$file"; fi
        done < <(find "$resolved" -mindepth 1 ! -type s -print0)
    elif [ -f "$resolved" ]; then
        pack_needs "$resolved"
    fi
}

pack_libraries() {
    local library
    [ ${#elves[@]} -gt 0 ] || return 0
    while IFS= read -r library; do
        pack_path "$library"
        case $library in
        # The C library loads this one when a thread is cancelled.
        */libc.so.6) [ ! -e "${library%/*}/libgcc_s.so.1" ] || pack_path "${library%/*}/libgcc_s.so.1" ;;
        esac
    done < <(ldd "${elves[@]}" 2>/dev/null |
        sed -n 's/^\t\(.* => \)\?\(\/.*\) (0x[0-9a-f]*)$/\2/p' | sort -u)
    # For libraries in folders of their own.
    [ ! -e /etc/ld.so.cache ] || pack_path /etc/ld.so.cache
}

pack_arguments() {
    local item value
    for item in "${files[@]}"; do
        pack "$item"
    done
    for item in "${command[@]:1}"; do
        value=$item
        # --option=FILE
        [[ ! -e $item && $item == -*=* ]] && value=${item#*=}
        if [ -n "$value" ] && [ -e "$value" ]; then pack "$value"; fi
    done
    # The places where these are written have to be there.
    for item in "${outs[@]}"; do
        item=$(dirname -- "$(realpath -ms -- "$item")")
        [ -d "$item" ] || die 125 "--out: there is no folder $item"
        pack_path "$item"
    done
    pack_path "$PWD"
}

check_size() {
    local mib limit=$((memory_mib / 4))
    mib=$(find -files0-from "$1" -maxdepth 0 -type f -printf '%s\n' |
        awk '{ n += $1 } END { printf "%d", n / 1048576 }')
    [ "$mib" -le $limit ] || die 125 "the command and its files are $mib MiB, and with" \
        "--memory $memory the lab takes $limit MiB in: name fewer files, or give more memory"
}

# ---- the job ----

# Quotes for the shell inside, which is not this one.
quote() {
    printf "'%s' " "${1//\'/\'\\\'\'}"
}

write_job() {
    local item
    printf 'cd '
    quote "$PWD"
    printf '|| exit 125\nexec /lab/busybox env -i '
    for item in PATH="$PATH" HOME=/root ${LANG:+LANG="$LANG"} ${LC_ALL:+LC_ALL="$LC_ALL"} \
        ${LD_LIBRARY_PATH:+LD_LIBRARY_PATH="$LD_LIBRARY_PATH"} "${environment[@]}"; do
        quote "$item"
    done
    if [ -n "$program" ]; then quote "$program"; else quote /lab/busybox && quote "${command[0]}"; fi
    for item in "${command[@]:1}"; do
        quote "$item"
    done
    printf '\n'
}

# Adds the modules of --module, each after what it depends on.
write_modules() {
    local name path
    [ ${#modules[@]} -gt 0 ] || return 0
    mkdir "$dir/job/lab/modules"
    for name in "${modules[@]}"; do
        path=$(sed -n "s,^\([^:]*/${name//[-_]/[-_]}\.ko[^:]*\):\(.*\),\2 \1,p" "$base/modules/modules.dep" |
            tr ' ' '\n' | sed '/^$/d')
        [ -n "$path" ] || die 125 "--module $name: the kernel $(cat "$base/release") has none of that name"
        printf '%s\n' "$path"
    done | awk '!seen[$0]++' | while IFS= read -r path; do
        cp "$base/modules/$path" "$dir/job/lab/modules/"
        printf '%s\n' "${path##*/}" >>"$dir/job/lab/modules/more"
    done
}

write_initrd() {
    local item
    mkdir -p "$dir/job/lab"
    cp "$here/init" "$dir/job/lab/init"
    write_job >"$dir/job/lab/job"
    write_modules
    for item in "${outs[@]}"; do
        realpath -ms -- "$item"
    done >"$dir/job/lab/out"
    printf '%s\0' "${!packed[@]}" | sort -z >"$dir/list"
    check_size "$dir/list"
    {
        cat "$base/base.cpio"
        (cd / && sed -z 's,^/,,' "$dir/list" | cpio -o -0 -H newc --quiet --reproducible)
        (cd "$dir/job" && find lab -mindepth 1 | cpio -o -H newc --quiet -R 0:0)
    } >"$dir/initrd" || die 125 "could not pack the files"
}

