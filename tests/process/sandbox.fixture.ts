/**
 * A root folder and a network of one's own, for what insists on its paths and ports (/app, /tmp, /var, 3200, 4317, 4318):
 *
 *   unshare (mounts, network) ─▶ a tmpfs with the machine's folders bound into it ─▶ chroot ─▶ node --test <file>
 *
 * /app, /conf, /tmp and /var start empty; this project is bound at /app/vivace; names given resolve to 127.0.0.1. The
 * mounts are private and end with the last process inside, so nothing of it reaches the machine.
 */
import fs from 'node:fs';
import { type Cleanup, environment, later, ROOT, temporaryFolder, watch } from './server.fixture.ts';

const ENTER = `
set -e
new=$1 project=$2 hosts=$3
shift 3
ip link set lo up
mount -t tmpfs -o mode=0755 tmpfs "$new"
for entry in /*; do
  case $entry in /app|/conf|/tmp|/var|/lost+found) continue;; esac
  if [ -L "$entry" ]; then cp -P "$entry" "$new$entry"
  elif [ -d "$entry" ]; then mkdir "$new$entry"; mount --rbind "$entry" "$new$entry"
  fi
done
mkdir -p "$new/app/vivace" "$new/conf" "$new/var" "$new/tmp"
chmod 1777 "$new/tmp"
mount --bind "$project" "$new/app/vivace"
printf '127.0.0.1 localhost %s\\n' "$hosts" > "$new/app/hosts"
mount --bind "$new/app/hosts" "$new/etc/hosts"
exec chroot "$new" "$@"
`;

/** Why there can be no sandbox; undefined when there can. Throws where nobody said that this is known. */
export async function sandboxSkipped(): Promise<string | undefined> {
  if (process.env.VIVACE_SKIP_SANDBOX === '1') return 'VIVACE_SKIP_SANDBOX=1: seeds are not run verbatim in this run';
  const probe = watch('unshare', ['--mount', '--net', 'mount', '--bind', '/', '/mnt'], environment());
  const { code } = await probe.exited.catch(() => ({ code: -1 }));
  if (code === 0) return undefined;
  throw new Error(
    `cannot make a root folder and a network for this test: ${probe.stderr()}; run it as root on Linux, or leave it out with VIVACE_SKIP_SANDBOX=1`,
  );
}

/** Runs the tests of a file (a path inside the project) in a sandbox; resolves with how it ended and what it printed. */
export async function runInSandbox(
  t: Cleanup,
  file: string,
  hosts: readonly string[] = [],
): Promise<{ code: number | null; output: string }> {
  const folder = temporaryFolder(t, 'root');
  const started = watch(
    'unshare',
    [
      '--mount',
      '--net',
      '--pid',
      '--fork',
      '--kill-child',
      '--mount-proc',
      ...['sh', '-c', ENTER, 'sh', folder, ROOT, hosts.join(' ')],
      ...[nodeInside(), '--test', '--test-reporter=spec', `/app/vivace/${file}`],
    ],
    { ...environment(), TMPDIR: '/tmp' },
  );
  later(t, async () => {
    started.child.kill('SIGKILL');
    await started.exited;
  });
  const { code } = await started.exited;
  return { code, output: started.stdout() + started.stderr() };
}

/** Where this Node.js is found inside: one that came with the project is below /app/vivace, wherever the checkout is. */
function nodeInside(): string {
  const own = fs.realpathSync(ROOT);
  return process.execPath.startsWith(`${own}/`) ? `/app/vivace${process.execPath.slice(own.length)}` : process.execPath;
}
