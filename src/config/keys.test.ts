import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { defaultConfiguration, loadConfiguration } from './load.ts';
import { configurationTree } from './render.ts';
import { settings } from './schema.ts';
import { propertyName } from './setting.ts';

/** `path value` lines; `[]` in a path is the first element of a list. */
const keys = readFileSync(new URL('../../tests/golden/config/keys.txt', import.meta.url), 'utf8')
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#'))
  .map((line) => [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)] as const);

const defaults = configurationTree(defaultConfiguration());

describe('every key of the reference is taken', () => {
  it('in number', () => assert.ok(keys.length > 1200));

  for (const [section, members] of Map.groupBy(keys, ([path]) => path.split('.')[0])) {
    it(section, () => {
      for (const [path, value] of members) take(path, value);
    });
  }
});

/** Loads a file with this key alone; its value must be in force afterwards. */
function take(path: string, value: string): void {
  const text = documentOf(path, value);
  const argv = ['-config.file=keys', '-storage.trace.backend=local'];
  const loaded = loadConfiguration({ argv, env: {}, readFile: () => text });
  assert.equal(loaded.kind, 'run', `${text}${loaded.kind === 'exit' ? loaded.stderr : ''}`);
  if (loaded.kind !== 'run') return;
  // Of a receiver only what is in force is shown again.
  if (path.startsWith('distributor.receivers.')) return;
  const shown = valueAt(configurationTree(loaded.config), path);
  assert.notEqual(shown, undefined, `${path} is shown`);
  assert.notDeepEqual(shown, valueAt(defaults, path), `${path}: ${value} was taken`);
}

describe('the tables', () => {
  it('have a property of its own for every key', () => {
    const names = [...settings].map(([path, setting]) => {
      const last = path.slice(path.lastIndexOf('.') + 1);
      return path.slice(0, path.length - last.length) + propertyName(last, setting);
    });
    assert.equal(new Set(names).size, settings.size);
  });

  it('name a key in small letters, digits and underscores', () => {
    assert.deepEqual(
      [...settings.keys()].filter((path) => !/^[a-z0-9_.]+$/.test(path)),
      [],
    );
  });
});

function documentOf(path: string, value: string): string {
  let text = '';
  let indent = '';
  const parts = path.split('.');
  parts.forEach((part, index) => {
    const key = part.replace('[]', '');
    text += `${text.endsWith('- ') ? '' : indent}${key}:${index === parts.length - 1 ? ` ${value}` : ''}\n`;
    indent += '  ';
    if (part.endsWith('[]')) {
      text += `${indent}- `;
      indent += '  ';
    }
  });
  return text;
}

function valueAt(tree: unknown, path: string): unknown {
  let at = tree as Record<string, unknown> | undefined;
  for (const part of path.split('.')) {
    const inner = at?.[part.replace('[]', '')];
    at = (part.endsWith('[]') && Array.isArray(inner) ? inner[0] : inner) as Record<string, unknown> | undefined;
  }
  return at;
}
