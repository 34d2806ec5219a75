/**
 * Scripts that complete the program's commands and options in bash, zsh and fish, made from the tree of commands itself. A
 * script carries all it knows: completing starts no process.
 */
import type { Command, Option } from 'commander';

export type Shell = 'bash' | 'zsh' | 'fish';
export const SHELLS: readonly Shell[] = ['bash', 'zsh', 'fish'];

/** One command with what may follow it. */
interface Place {
  /** Names from the program down, each with a space in front; empty for the program itself. */
  path: string;
  commands: { name: string; description: string }[];
  options: Option[];
}

export function completionScript(shell: Shell, program: Command): string {
  const places = placesOf(program);
  switch (shell) {
    case 'bash':
      return bash(program.name(), places);
    case 'zsh':
      return zsh(program.name(), places);
    case 'fish':
      return fish(program.name(), places);
  }
}

function placesOf(program: Command): Place[] {
  const places: Place[] = [];
  const visit = (command: Command, path: string): void => {
    const commands = command.commands.flatMap((each) =>
      [each.name(), ...each.aliases()].map((name) => ({ name, description: each.description() })),
    );
    const options = command.options.filter((option) => !option.hidden);
    places.push({ path, commands, options });
    for (const each of command.commands)
      for (const name of [each.name(), ...each.aliases()]) visit(each, `${path} ${name}`);
  };
  visit(program, '');
  return places;
}

/** `vivace-cli` as part of a function's name. */
function identifier(name: string): string {
  return name.replace(/\W/g, '_');
}

function takesValue(option: Option): boolean {
  return option.required || option.optional;
}

function namesOf(option: Option): string[] {
  return [option.long, option.short].filter((name) => name !== undefined);
}

/** Options of any command by their choices; those with the same name have the same everywhere. */
function choices(places: readonly Place[]): Map<string, readonly string[]> {
  const found = new Map<string, readonly string[]>();
  for (const option of places.flatMap(({ options }) => options))
    if (option.argChoices !== undefined) found.set(namesOf(option).join('|'), option.argChoices);
  return found;
}

function bash(name: string, places: readonly Place[]): string {
  const lines = [
    `# Completes ${name} in bash: ${name} completion bash > /etc/bash_completion.d/${name}`,
    `_${identifier(name)}() {`,
    '  local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}" at="" list="" i',
    '  for ((i = 1; i < COMP_CWORD; i++)); do',
    '    case "$at ${COMP_WORDS[i]}" in',
    `      ${paths(places)}) at="$at \${COMP_WORDS[i]}" ;;`,
    '    esac',
    '  done',
    '  case "$prev" in',
  ];
  for (const [names, values] of choices(places))
    lines.push(`    ${names}) COMPREPLY=($(compgen -W "${values.join(' ')}" -- "$cur")); return ;;`);
  lines.push('  esac', '  case "$at" in');
  for (const { path, commands, options } of places) {
    const flags = [...options.flatMap(namesOf), '--help'];
    const words = commands.length > 0 ? [...commands.map((each) => each.name), '--help'] : flags;
    lines.push(`    "${path}") list="${words.join(' ')}" ;;`);
  }
  lines.push(
    '  esac',
    // Words that are neither commands nor options are completed as files, which -o default does.
    '  if [[ "$cur" == -* || "$list" != -* ]]; then COMPREPLY=($(compgen -W "$list" -- "$cur")); fi',
    '}',
    `complete -o default -F _${identifier(name)} ${name}`,
  );
  return `${lines.join('\n')}\n`;
}

function paths(places: readonly Place[]): string {
  return places
    .filter(({ path }) => path !== '')
    .map(({ path }) => `"${path}"`)
    .join('|');
}

function zsh(name: string, places: readonly Place[]): string {
  const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
  const described = (word: string, description: string): string =>
    quoted(`${word.replaceAll(':', '\\:')}:${description.split('\n')[0]}`);
  const lines = [
    `#compdef ${name}`,
    `# Completes ${name} in zsh: ${name} completion zsh > "\${fpath[1]}/_${name}"`,
    `_${identifier(name)}() {`,
    '  local at="" i',
    '  local -a list flags',
    '  for ((i = 2; i < CURRENT; i++)); do',
    '    case "$at $words[i]" in',
    `      ${paths(places)}) at="$at $words[i]" ;;`,
    '    esac',
    '  done',
    '  case "$words[CURRENT-1]" in',
  ];
  for (const [names, values] of choices(places)) lines.push(`    ${names}) compadd -- ${values.join(' ')}; return ;;`);
  lines.push('  esac', '  case "$at" in');
  for (const { path, commands, options } of places) {
    const words = commands.map((each) => described(each.name, each.description));
    const flags = options.flatMap((option) => namesOf(option).map((each) => described(each, option.description)));
    lines.push(`    "${path}")`);
    if (words.length > 0) lines.push(`      list=(${words.join(' ')})`);
    if (flags.length > 0) lines.push(`      flags=(${flags.join(' ')})`);
    lines.push('      ;;');
  }
  lines.push(
    '  esac',
    `  flags+=('--help:show help')`,
    '  if [[ "$PREFIX" == -* ]]; then _describe option flags',
    '  elif (( $#list )); then _describe command list',
    '  else _files; fi',
    '}',
    `if [ "$funcstack[1]" = "_${identifier(name)}" ] || [ "$funcstack[1]" = "_${name}" ]; then _${identifier(name)} "$@"`,
    `else compdef _${identifier(name)} ${name}; fi`,
  );
  return `${lines.join('\n')}\n`;
}

function fish(name: string, places: readonly Place[]): string {
  const quoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  const at = `__${identifier(name)}_at`;
  const lines = [
    `# Completes ${name} in fish: ${name} completion fish > ~/.config/fish/completions/${name}.fish`,
    `function ${at}`,
    '    set -l at ""',
    '    for word in (commandline -opc)[2..-1]',
    '        switch "$at $word"',
    `            case ${paths(places).replaceAll('|', ' ')}`,
    '                set at "$at $word"',
    '        end',
    '    end',
    '    test "$at" = "$argv[1]"',
    'end',
  ];
  for (const { path, commands, options } of places) {
    const here = `complete -c ${name} -n ${quoted(`${at} "${path}"`)}`;
    for (const each of commands) lines.push(`${here} -f -a ${each.name} -d ${quoted(each.description.split('\n')[0])}`);
    for (const option of options) {
      const names = [
        ...(option.long === undefined ? [] : ['-l', option.long.slice(2)]),
        ...(option.short === undefined ? [] : ['-s', option.short.slice(1)]),
      ];
      const value = option.argChoices
        ? ` -x -a ${quoted(option.argChoices.join(' '))}`
        : takesValue(option)
          ? ' -r'
          : '';
      lines.push(`${here} ${names.join(' ')}${value} -d ${quoted(option.description)}`);
    }
    lines.push(`${here} -l help -d 'show help'`);
  }
  return `${lines.join('\n')}\n`;
}
