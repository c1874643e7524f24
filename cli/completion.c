// completion SHELL: what binds a shell's completion to `kubectl-pprof __complete`.
#include "base/text.h"
#include "cli/command.h"
#include "base/banned.h"

// kubectl asks a program kubectl_complete-pprof on the PATH; for the program under its own name bash is told
// here.
static const char bash[] =
    "# bash completion of kubectl-pprof. For `kubectl pprof` put this on the PATH as "
    "kubectl_complete-pprof:\n"
    "#   printf '#!/bin/sh\\nexec kubectl-pprof __complete \"$@\"\\n' >kubectl_complete-pprof; chmod +x "
    "kubectl_complete-pprof\n"
    "_kubectl_pprof() {\n"
    "    local line bits=0 word=${COMP_WORDS[COMP_CWORD]}\n"
    "    COMPREPLY=()\n"
    "    while IFS= read -r line; do\n"
    "        case $line in\n"
    "        :*) bits=${line#:} ;;\n"
    "        *) COMPREPLY+=(\"${line%%$'\\t'*}\") ;;\n"
    "        esac\n"
    "    done < <(kubectl-pprof __complete \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null)\n"
    "    if [ $((bits & 4)) -eq 0 ]; then\n"
    "        while IFS= read -r line; do COMPREPLY+=(\"$line\"); done < <(compgen -f -- \"$word\")\n"
    "    fi\n"
    "}\n"
    "complete -o filenames -F _kubectl_pprof kubectl-pprof\n";

static const char zsh[] =
    "#compdef kubectl-pprof\n"
    "# zsh completion of kubectl-pprof\n"
    "_kubectl_pprof() {\n"
    "    local line bits=0\n"
    "    local -a found\n"
    "    while IFS= read -r line; do\n"
    "        case $line in\n"
    "        :*) bits=${line#:} ;;\n"
    "        *) line=${line//:/\\\\:}; found+=(\"${line/$'\\t'/:}\") ;;\n"
    "        esac\n"
    "    done < <(kubectl-pprof __complete \"${words[@]:1:$((CURRENT - 1))}\" 2>/dev/null)\n"
    "    _describe 'kubectl-pprof' found\n"
    "    (( bits & 4 )) || _files\n"
    "}\n"
    "compdef _kubectl_pprof kubectl-pprof\n";

static const char fish[] = "# fish completion of kubectl-pprof\n"
                           "function __kubectl_pprof\n"
                           "    set -l words (commandline -opc) (commandline -ct)\n"
                           "    for line in (kubectl-pprof __complete $words[2..-1] 2>/dev/null)\n"
                           "        switch $line\n"
                           "            case ':*'\n"
                           "                if test (math \"bitand($(string sub -s 2 -- $line), 4)\") -eq 0\n"
                           "                    __fish_complete_path (commandline -ct)\n"
                           "                end\n"
                           "            case '*'\n"
                           "                echo $line\n"
                           "        end\n"
                           "    end\n"
                           "end\n"
                           "complete -c kubectl-pprof -f -a '(__kubectl_pprof)'\n";

int kp_cli_completion(struct kp_cli *cli, struct kp_error *err)
{
    static const struct {
        const char *shell, *script;
    } scripts[] = {{"bash", bash}, {"zsh", zsh}, {"fish", fish}};
    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
        if (kp_streq(cli->args[0], scripts[i].shell)) {
            fputs(scripts[i].script, cli->out);
            return 0;
        }
    }
    return kp_cli_usage(cli, err, "there is no completion for '%.40s': bash, zsh or fish", cli->args[0]);
}
