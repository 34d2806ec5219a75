/** `completion`: the script that completes commands and options in a shell. */
import { Argument, type Command } from 'commander';
import { completionScript, SHELLS, type Shell } from '../completion-scripts.ts';
import type { World } from '../terminal.ts';

export function addCompletion(program: Command, world: World): void {
  program
    .command('completion')
    .description('Prints the script that completes commands and options in a shell.')
    .addArgument(new Argument('<shell>', 'the shell').choices(SHELLS))
    .action((shell: Shell) => {
      world.stdout.write(completionScript(shell, program));
    });
}
