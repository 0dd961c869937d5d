# Prepares this shell for hepflow, and on the first call the environment it runs in:   source setup.sh
#
# Installs this folder (editable, with its dependencies) into the active virtual or conda environment (not conda's
# base), or else into .venv beside this file, and activates that. Later calls only activate, without network.
# HEPFLOW_EXTRAS narrows the optional parts: HEPFLOW_EXTRAS=sample,test, or HEPFLOW_EXTRAS= for none. Without it the
# parts of the call before stay, at first all.

if [ -z "${BASH_VERSION-}${ZSH_VERSION-}" ]; then # setup.sh is for bash and zsh: start one of them, source it there
    echo "hepflow: setup.sh is for bash and zsh: start one of them, then source it there" >&2
    return 2
fi

_hepflow_setup() {
    local file folder prefix run_as=sourced
    if [ -n "${ZSH_VERSION-}" ]; then
        file=${(%):-%x}
        case ${ZSH_EVAL_CONTEXT-} in *file*) ;; *) run_as=script ;; esac
    else
        file=${BASH_SOURCE[0]}
        [ "$file" != "$0" ] || run_as=script
    fi
    if [ "$run_as" = script ]; then
        echo "hepflow: setup.sh prepares the shell that reads it: run  source $file" >&2
        return 2
    fi
    folder=$(unset CDPATH; builtin cd -- "$(dirname -- "$file")" >/dev/null && pwd -P) || return 1

    if [ -n "${VIRTUAL_ENV-}" ]; then
        prefix=$VIRTUAL_ENV
    elif [ -n "${CONDA_PREFIX-}" ] && [ "${CONDA_DEFAULT_ENV-}" != base ]; then
        prefix=$CONDA_PREFIX
    else
        prefix=$folder/.venv
    fi

    # A subshell: what it defines and sets ends with it, and Ctrl-C stops it and not the caller's shell.
    (
        [ -z "${ZSH_VERSION-}" ] || emulate sh
        set +eufC
        IFS=$(printf ' \t\n.')
        IFS=${IFS%.}
        trap 'exit 130' INT
        unset PYTHONHOME # as activating does
        builtin cd -- "$folder" >/dev/null || exit 1
        python=$prefix/bin/python stamp=$prefix/.hepflow-setup log=$folder/build/setup.log
        kept=$(command tail -n 2 "$stamp" 2>/dev/null | command head -n 1) # the stamp: see describe
        [ -f "$stamp" ] || kept=all
        extras=${HEPFLOW_EXTRAS-$kept}
        suitable='(3, 10) <= sys.version_info[:2] <= (3, 13)'

        say() { printf 'hepflow: %s\n' "$1" >&2; }

        fail() { # what happened, what to do; between them the last lines of the log of a command that failed
            say "$1"
            [ -z "${logged-}" ] || command tail -n 12 "$log" | cut -c 1-400 | sed 's/^/    /' >&2
            shift
            say "$* then source setup.sh again"
            exit 1
        }

        # What the installation depends on, one a line. The stamp is this text, written when everything is done.
        describe() {
            "$python" -I -c "import sys; print(sys.version); sys.exit(not $suitable)" 2>/dev/null || return 1
            printf '%s\n' "$prefix" "$folder" "$extras"
            cksum <setup.cfg
        }

        # Exit status 0: `import hepflow` finds this folder. 1: it finds nothing, or another place, which is printed.
        # 2: another distribution installs the same import name; it is printed.
        look() {
            "$python" -c '
import importlib.util, os, sys
spec = importlib.util.find_spec("hepflow")
if spec is None:
    sys.exit(1)
place = os.path.realpath(list(spec.submodule_search_locations or [spec.origin])[0])
if place == os.path.realpath("framework"):
    sys.exit(0)
from importlib.metadata import distributions
for found in distributions():
    if found.metadata["Name"] != "hepflow" and any(str(file).startswith("hepflow/") for file in found.files or ()):
        print(found.metadata["Name"], found.version)
        sys.exit(2)
print(place)
sys.exit(1)'
        }

        refuse_foreign() {
            fail "$other is installed in $prefix and uses the import name hepflow, too: the two cannot share it" \
                "remove it ($python -m pip uninstall ${other% *}), or deactivate this environment for one of its own,"
        }

        find_python() { # a pyenv shim may stand in PATH and not work, so each candidate is tried
            set -f
            IFS=:
            for name in python3 python3.13 python3.12 python3.11 python3.10; do
                for place in $PATH; do
                    "$place/$name" -I -c "import sys; sys.exit(not $suitable)" 2>/dev/null || continue
                    printf '%s\n' "$place/$name"
                    return
                done
            done
            return 1
        }

        # Whether prefix holds an environment that works, with pip, and that was made for this place.
        works() {
            "$python" -I -c "import sys, pip; sys.exit(not $suitable)" 2>/dev/null || return 1
            [ "$prefix" != "$folder/.venv" ] || (. "$prefix/bin/activate" && [ "$VIRTUAL_ENV" -ef "$prefix" ]) 2>/dev/null
        }

        # Whether prefix may be removed: setup.sh has finished it before, or nothing was ever installed in it.
        disposable() {
            [ ! -f "$stamp" ] || return 0
            for name in "$prefix"/* "$prefix"/lib/python*/site-packages/*; do
                case ${name##*/} in
                    '*' | bin | include | lib | lib64 | share | pyvenv.cfg | CACHEDIR.TAG) ;;
                    pip | pip-* | setuptools | setuptools-* | wheel | wheel-* | pkg_resources) ;;
                    _distutils_hack | distutils-precedence.pth | _virtualenv* | __pycache__) ;;
                    *) return 1 ;;
                esac
            done
        }

        clear_prefix() { [ ! -e "$prefix" ] || command find -H "$prefix" -mindepth 1 -delete; }

        make_environment() {
            base=$(find_python) || fail "no python3 of version 3.10 to 3.13 in PATH" "install one,"
            if [ -e "$prefix" ]; then
                disposable || fail "$prefix does not work, and holds packages that setup.sh did not install" \
                    "remove it, or activate another environment,"
                say "removing the unfinished or broken $prefix"
                clear_prefix || fail "cannot remove $prefix" "remove it,"
            fi
            say "making $prefix with $("$base" -I -c 'import platform; print("Python", platform.python_version())')"
            "$base" -I -m venv "$prefix" >"$log" 2>&1 && works && return
            clear_prefix
            virtualenv -p "$base" "$prefix" >>"$log" 2>&1 && works && return
            clear_prefix
            uv venv --seed --python "$base" "$prefix" >>"$log" 2>&1 && works && return
            clear_prefix
            [ -L "$prefix" ] || rmdir "$prefix" 2>/dev/null
            logged=yes
            "$base" -I -c 'import ensurepip, venv' 2>/dev/null \
                || fail "$base cannot make an environment with pip" \
                    "install the package python3-venv (on Debian and Ubuntu for $base: apt-get install" \
                    "$("$base" -I -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')), virtualenv or uv,"
            fail "cannot make $prefix" "see $log,"
        }

        check_environment() { # the user's own
            "$python" -I -c '' 2>/dev/null || fail "the active environment $prefix has no Python that works" \
                "deactivate it (or unset VIRTUAL_ENV), or install python in it,"
            describe >/dev/null || fail "the active environment $prefix has $("$python" -V 2>&1); hepflow needs 3.10 to 3.13" \
                "deactivate it, or activate another one,"
            works || "$python" -I -m ensurepip >"$log" 2>&1 || fail "the active environment $prefix has no pip" \
                "install pip in it (uv pip install pip),"
        }

        check_extras() {
            "$python" -I -c '
import configparser, sys
known = configparser.RawConfigParser()
known.read("setup.cfg", encoding="utf-8")
known = known.options("options.extras_require")
unknown = [name for name in sys.argv[1].replace(" ", "").split(",") if name and name not in known]
if unknown:
    print(", ".join(unknown), "is not among", ", ".join(known))
    sys.exit(1)' "$extras"
        }

        install() {
            unknown=$(check_extras) || fail "HEPFLOW_EXTRAS=$extras: $unknown" "correct or unset HEPFLOW_EXTRAS,"
            say "installing hepflow${extras:+[$extras]} and what it needs (minutes the first time; log: $log)"
            PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 \
                "$python" -I -m pip install -e ".${extras:+[$extras]}" >"$log" 2>&1 && return
            logged=yes
            if command grep -q -e 'No space left' -e 'Disk quota' "$log"; then
                set -- "the disk is full: make room (TensorFlow takes most; HEPFLOW_EXTRAS=sample,test does without),"
            elif command grep -q -i -e 'connection' -e 'resolution' -e 'timed out' -e 'from versions: none' "$log"; then
                set -- "the package index was not reached: check network and proxy (what was installed is kept),"
            else
                set -- "read the whole log, $log, remove the cause,"
            fi
            fail "the installation in $prefix failed; its last lines:" "$1"
        }

        if found=$(describe) && [ "$found" = "$(command cat "$stamp" 2>/dev/null)" ] && other=$(look); then
            exit 0
        fi
        command mkdir -p build && : >"$log" || fail "cannot write in $folder" "make it writable, or make room on its disk,"
        if [ "$prefix" != "$folder/.venv" ]; then
            check_environment
        elif ! works; then
            make_environment
        fi
        other=$(look)
        [ $? != 2 ] || refuse_foreign
        command rm -f "$stamp"
        install
        other=$(look)
        case $? in
            0) describe >"$stamp" || fail "cannot write $stamp" "make room on its disk," ;;
            2) refuse_foreign ;;
            *) fail "import hepflow finds ${other:-nothing} and not $folder/framework" "see to PYTHONPATH (${PYTHONPATH-not set})," ;;
        esac
    ) || return 1

    # Not for conda environments, which are active; for virtual ones also where PATH lost the active one.
    if [ -f "$prefix/bin/activate" ] && [ "$prefix" != "${CONDA_PREFIX-}" ] \
        && [ "$(command -v python)" != "$prefix/bin/python" ]; then
        . "$prefix/bin/activate"
    fi
    hash -r 2>/dev/null || :
}

if _hepflow_setup; then
    unset -f _hepflow_setup
else
    unset -f _hepflow_setup
    false
fi
