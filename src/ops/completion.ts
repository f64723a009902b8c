// `etcd-ipam completion`: what shells complete, made from the commands that there are. Knows shells; asks nobody anything.

export interface Completed {
  readonly name: string;
  readonly description: string;
  readonly options: readonly {
    readonly flag: string;
    readonly description: string;
    readonly takesValue: boolean;
    readonly choices: readonly string[];
  }[];
  /** Words that its argument can be. */
  readonly words: readonly string[];
}

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

export function completion(shell: Shell, commands: readonly Completed[]): string {
  return { bash, zsh, fish }[shell](commands);
}

function bash(commands: readonly Completed[]): string {
  const cases = commands.map(({ name, options, words }) => {
    const values = options
      .filter(({ takesValue }) => takesValue)
      .map(({ flag, choices }) => `      ${flag}) words='${choices.join(' ')}' ;;`);
    const flags = [...options.map(({ flag }) => flag), ...words].join(' ');
    return [`    ${name})`, '      case $prev in', ...values, `      *) words='${flags}' ;;`, '      esac ;;'].join(
      '\n',
    );
  });
  return `# etcd-ipam, for bash: source <(etcd-ipam completion bash)
_etcd_ipam() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} words=
  if [ "$COMP_CWORD" -eq 1 ]; then
    words='${commands.map(({ name }) => name).join(' ')}'
  else
    case \${COMP_WORDS[1]} in
${cases.join('\n')}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _etcd_ipam etcd-ipam`;
}

function zsh(commands: readonly Completed[]): string {
  const quoted = (text: string) => text.replaceAll("'", "'\\''");
  const plain = (text: string) => quoted(text.replace(/[[\]:]/g, '\\$&'));
  const cases = commands.map(({ name, options, words }) => {
    const specs = options.map(({ flag, description, takesValue, choices }) => {
      const value = choices.length > 0 ? `(${choices.join(' ')})` : flag === '--env-file' ? '_files' : ' ';
      return `'${flag}[${plain(description)}]${takesValue ? `:value:${value}` : ''}'`;
    });
    const rest = words.length > 0 ? `'*:word:(${words.join(' ')})'` : "'*:argument:_files'";
    return `    ${name}) _arguments ${[...specs, rest].join(' ')} ;;`;
  });
  return `#compdef etcd-ipam
# etcd-ipam, for zsh: source <(etcd-ipam completion zsh), after compinit
_etcd_ipam() {
  local -a commands=(
${commands.map(({ name, description }) => `    '${name}:${quoted(description)}'`).join('\n')}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
${cases.join('\n')}
  esac
}
compdef _etcd_ipam etcd-ipam`;
}

function fish(commands: readonly Completed[]): string {
  const quoted = (text: string) => `'${text.replace(/['\\]/g, '\\$&')}'`;
  const lines = commands.flatMap(({ name, description, options, words }) => {
    const within = `complete -c etcd-ipam -n '__fish_seen_subcommand_from ${name}'`;
    return [
      `complete -c etcd-ipam -n __fish_use_subcommand -f -a ${name} -d ${quoted(description)}`,
      ...options.map(({ flag, description: says, takesValue, choices }) => {
        const value = takesValue ? ` -r${choices.length > 0 ? ` -f -a ${quoted(choices.join(' '))}` : ''}` : '';
        return `${within} -l ${flag.slice(2)}${value} -d ${quoted(says)}`;
      }),
      ...(words.length > 0 ? [`${within} -f -a ${quoted(words.join(' '))}`] : []),
    ];
  });
  return ['# etcd-ipam, for fish: etcd-ipam completion fish | source', ...lines].join('\n');
}
