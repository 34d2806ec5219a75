/** What an operator reads: `/`, `/status` and the pages under it (api.md §7). */
import { VivaceError } from '../runtime/errors.ts';
import { type Answer, HTML, notFound, TEXT, text } from './respond.ts';

export interface BuildInfo {
  /** Grafana decides by this one what it may ask; a semantic version. */
  version: string;
  revision: string;
  branch: string;
  buildUser: string;
  buildDate: string;
  goVersion: string;
}

export interface ServiceState {
  name: string;
  /** `Running`, `Starting`, `Stopping`, `Failed` … */
  status: string;
  failure?: string;
}

export type ConfigMode = 'full' | 'diff' | 'defaults';

export interface StatusSources {
  buildInfo: BuildInfo;
  /** YAML of the settings in force, of those that are not the default, or of the defaults. Secrets must be hidden. */
  configYaml(mode: ConfigMode): string;
  services?(): ServiceState[];
  /** YAML of what is said about tenants, or with `defaults` of what holds for all others. */
  runtimeConfigYaml?(mode: ConfigMode): string;
  /** Tenants that something is said about. */
  tenantsWithLimits?(): string[];
  /** YAML of everything that holds for one tenant. */
  limitsYaml?(tenant: string): string;
  /** Names and paths of the routes. */
  endpoints: readonly { name: string; path: string }[];
}

/** The page `/status/<section>`; without a section all of them, each behind a line with its path. */
export function statusPage(section: string, url: URLSearchParams, sources: StatusSources): Answer {
  if (section === '') {
    const pages = Object.entries(SECTIONS).map(([name, page]) => `GET /status/${name}\n${page(url, sources)}\n`);
    return text(200, pages.join('\n'));
  }
  if (section === 'usage-stats') return text(200, 'usage-stats is not enabled\n');
  if (section === 'overrides') return { status: 200, type: HTML, body: overridesPage(sources) };
  return Object.hasOwn(SECTIONS, section) ? text(200, SECTIONS[section](url, sources)) : notFound();
}

/** Who is here and what to type: a page for a browser, plain text for everybody else. `origin` as the client wrote it. */
export function rootPage(accept: string, origin: string, prefix: string, version: string): Answer {
  const api = `${origin}${prefix}/api`;
  const commands = [
    `curl '${api}/search'`,
    `curl -G '${api}/search' --data-urlencode 'q={ status = error }'`,
    `curl '${api}/v2/search/tags'`,
    `curl '${api}/traces/<trace id>'`,
  ];
  const intro = `Vivace ${version}, a backend for distributed traces that speaks Tempo's protocols.`;
  const pages = ['/ready', '/metrics', '/status', '/status/config', `${prefix}/api/status/buildinfo`];
  if (!accept.includes('text/html')) {
    const lines = [
      intro,
      '',
      'Find traces:',
      ...commands.map((c) => `  ${c}`),
      '',
      'Look after it:',
      ...pages.map((p) => `  ${origin}${p}`),
    ];
    return { status: 200, type: TEXT, body: lines.join('\n') + '\n' };
  }
  const links = pages.map((page) => `<li><a href="${escapeHtml(page)}">${escapeHtml(page)}</a></li>`).join('\n');
  return {
    status: 200,
    type: HTML,
    body: `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Vivace</title>
<style>
  body { font: 1rem/1.5 system-ui, sans-serif; max-width: 48rem; margin: 3rem auto; padding: 0 1rem; color-scheme: light dark }
  pre { padding: 1rem; overflow: auto; border: 1px solid; border-radius: .5rem }
</style>
<h1>Vivace</h1>
<p>${escapeHtml(intro)} Add it to Grafana as a data source of type Tempo with the address
<code>${escapeHtml(origin + prefix)}</code>, or ask from a shell:</p>
<pre>${escapeHtml(commands.join('\n'))}</pre>
<ul>
${links}
</ul>
</html>
`,
  };
}

const SECTIONS: Record<string, (url: URLSearchParams, sources: StatusSources) => string> = {
  version: (_, { buildInfo: b }) =>
    table(
      ['NAME', 'VALUE'],
      [
        ['version', b.version],
        ['revision', b.revision],
        ['branch', b.branch],
        ['build user', b.buildUser],
        ['build date', b.buildDate],
        ['go version', b.goVersion],
      ],
    ),
  services: (_, sources) =>
    table(
      ['SERVICE NAME', 'STATUS', 'FAILURE CASE'],
      (sources.services?.() ?? []).map(({ name, status, failure }) => [name, status, failure ?? '']),
    ),
  endpoints: (_, { endpoints }) =>
    table(
      ['NAME', 'REGEX'],
      endpoints.map(({ name, path }) => [name, path]),
    ),
  runtime_config: (url, sources) => sources.runtimeConfigYaml?.(configMode(url.get('mode') ?? '')) ?? 'overrides: {}\n',
  config: (url, sources) => sources.configYaml(configMode(url.get('mode') ?? '')),
};

function configMode(text: string): ConfigMode {
  if (text === '') return 'full';
  if (text === 'diff' || text === 'defaults') return text;
  throw new VivaceError('internal', `unknown value for mode query parameter: ${text}`);
}

/** `/status/overrides/<tenant>`: what the tenant may do. */
export function tenantPage(tenant: string, sources: StatusSources): Answer {
  const yaml = sources.limitsYaml?.(tenant) ?? '';
  return { status: 200, type: HTML, body: page(`Limits of ${tenant}`, `<pre>${escapeHtml(yaml)}</pre>`) };
}

function overridesPage(sources: StatusSources): string {
  const tenants = sources.tenantsWithLimits?.() ?? [];
  const link = (tenant: string): string =>
    `<li><a href="/status/overrides/${encodeURIComponent(tenant)}">${escapeHtml(tenant)}</a></li>`;
  const list =
    tenants.length === 0 ? '<p>No tenant has limits of its own.</p>' : `<ul>\n${tenants.map(link).join('\n')}\n</ul>`;
  return page('Limits by tenant', list);
}

function page(title: string, content: string): string {
  return `<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>${escapeHtml(title)}</title>\n<h1>${escapeHtml(title)}</h1>\n${content}\n</html>\n`;
}

function table(head: string[], rows: string[][]): string {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column].length)));
  const line = (cells: string[]) =>
    cells
      .map((cell, i) => cell.padEnd(widths[i]))
      .join(' | ')
      .trimEnd();
  return [line(head), widths.map((width) => '-'.repeat(width)).join('-+-'), ...rows.map(line)].join('\n') + '\n';
}

function escapeHtml(raw: string): string {
  return raw.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}
