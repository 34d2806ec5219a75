/** `list tenants`: who has blocks in a data folder. */
import type { Command } from 'commander';
import { tenantsLines } from '../block-tables.ts';
import { createTerminal, type World } from '../terminal.ts';
import { backendOptions, dataFolder, type StorageOptions } from './shared-options.ts';

export function addListTenants(parent: Command, world: World): void {
  const command = parent.command('tenants').description('Lists the tenants that have blocks.');
  backendOptions(command).action(async () => {
    const options = command.opts<StorageOptions>();
    const terminal = createTerminal(world, options, false);
    const { catalog, name } = await dataFolder(world, terminal, options);
    const tenants = catalog
      .tenants()
      .map((tenant) => ({ tenant, blocks: catalog.blocks(tenant) }))
      .filter(({ blocks }) => blocks.length > 0)
      .sort((a, b) => (a.tenant < b.tenant ? -1 : 1));
    if (terminal.json) return terminal.print([JSON.stringify(tenants.map(({ tenant }) => tenant))]);
    if (tenants.length === 0) terminal.note(`no blocks in ${name}`);
    else terminal.print(tenantsLines(tenants, terminal));
  });
}
