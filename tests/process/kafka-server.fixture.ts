/**
 * A real Apache Kafka for tests: one broker that is its own controller (KRaft), with Java and the jars of Maven Central,
 * fetched once into a cache folder (VIVACE_KAFKA, default ~/.cache/vivace-kafka).
 */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type Authority, makeAuthority, type Pair } from './certificates.fixture.ts';
import { type Cleanup, environment, freePorts, later, temporaryFolder, until, watch } from './server.fixture.ts';

const VERSION = '3.9.1';
const cache = process.env.VIVACE_KAFKA ?? path.join(os.homedir(), '.cache', `vivace-kafka-${VERSION}`);

/** Why Kafka cannot run here; undefined if it can. */
export function kafkaMissing(): string | undefined {
  try {
    execFileSync('java', ['-version'], { stdio: 'ignore' });
    fetchJars();
    return undefined;
  } catch (error) {
    return `Kafka cannot run here, the Kafka receiver is NOT tested: ${String(error).split('\n')[0]}`;
  }
}

function fetchJars(): void {
  if (fs.existsSync(path.join(cache, 'complete'))) return;
  fs.mkdirSync(cache, { recursive: true });
  const dependency = (group: string, artifact: string, version: string): string =>
    `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version></dependency>`;
  const pom = path.join(cache, 'pom.xml');
  fs.writeFileSync(
    pom,
    `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><groupId>t</groupId>
<artifactId>t</artifactId><version>1</version><dependencies>${dependency('org.apache.kafka', 'kafka_2.13', VERSION)}
${dependency('org.slf4j', 'slf4j-nop', '1.7.36')}</dependencies></project>`,
  );
  const args = [
    '-q',
    '-B',
    '-f',
    pom,
    'dependency:copy-dependencies',
    '-DincludeScope=runtime',
    `-DoutputDirectory=${cache}`,
  ];
  execFileSync('mvn', args, { stdio: 'ignore', timeout: 240_000 });
  fs.writeFileSync(path.join(cache, 'complete'), '');
}

export interface Kafka {
  /** host:port of plain text; of TLS with a name and password; of TLS with certificates of both sides. */
  plain: string;
  saslTls: string;
  mutualTls: string;
  /** Of both TLS listeners. */
  authority: Authority;
  user: { username: string; password: string };
}

/** Starts the broker; resolves when it takes connections. */
export async function startKafka(t: Cleanup): Promise<Kafka> {
  const folder = temporaryFolder(t, 'kafka');
  const { api: port, http: controller, grpc: saslPort, internalGrpc: tlsPort } = await freePorts();
  const authority = makeAuthority(folder);
  const user = { username: 'reader', password: 'not a secret' };
  const listeners = `PLAINTEXT://127.0.0.1:${port},SASL_SSL://127.0.0.1:${saslPort},SSL://127.0.0.1:${tlsPort}`;
  const login = (module: string): string => `org.apache.kafka.common.security.${module} required`;
  const properties = path.join(folder, 'server.properties');
  fs.writeFileSync(
    properties,
    [
      'process.roles=broker,controller',
      'node.id=1',
      `controller.quorum.voters=1@127.0.0.1:${controller}`,
      `listeners=${listeners},CONTROLLER://127.0.0.1:${controller}`,
      `advertised.listeners=${listeners}`,
      'controller.listener.names=CONTROLLER',
      'listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL',
      ...tlsProperties(authority, authority.sign('broker')),
      'listener.name.ssl.ssl.client.auth=required',
      'sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
      `listener.name.sasl_ssl.plain.sasl.jaas.config=${login('plain.PlainLoginModule')} user_${user.username}="${user.password}";`,
      ...['256', '512'].map(
        (bits) => `listener.name.sasl_ssl.scram-sha-${bits}.sasl.jaas.config=${login('scram.ScramLoginModule')};`,
      ),
      `log.dirs=${path.join(folder, 'logs')}`,
      'num.partitions=2',
      'offsets.topic.replication.factor=1',
      'offsets.topic.num.partitions=1',
      'transaction.state.log.replication.factor=1',
      'transaction.state.log.min.isr=1',
      'group.initial.rebalance.delay.ms=0',
    ].join('\n'),
  );
  const java = (...args: string[]): string[] => ['-Xmx256m', '-cp', `${cache}/*`, ...args];
  const scram = ['256', '512'].flatMap((bits) => [
    '--add-scram',
    `SCRAM-SHA-${bits}=[name=${user.username},password=${user.password}]`,
  ]);
  const format = ['format', '-t', 'AAAAAAAAAAAAAAAAAAAAAQ', '-c', properties, ...scram];
  execFileSync('java', java('kafka.tools.StorageTool', ...format), { stdio: 'ignore' });
  const { child, exited, stderr } = watch('java', java('kafka.Kafka', properties), environment());
  later(t, async () => {
    child.kill('SIGKILL');
    await exited;
  });
  const address = `127.0.0.1:${port}`;
  const { Admin } = await import('@platformatic/kafka');
  await until(
    'Kafka answers',
    async () => {
      const admin = new Admin({ clientId: 'test', bootstrapBrokers: [address], retries: 0, timeout: 2000 });
      try {
        await admin.listTopics();
        return true;
      } catch {
        return false;
      } finally {
        await admin.close();
      }
    },
    60_000,
    stderr,
  );
  return {
    plain: address,
    saslTls: `127.0.0.1:${saslPort}`,
    mutualTls: `127.0.0.1:${tlsPort}`,
    authority,
    user,
  };
}

/** PEM on one line, as a file of properties takes it. */
function tlsProperties(authority: Pair, broker: Pair): string[] {
  const pem = (file: string): string => fs.readFileSync(file, 'utf8').replaceAll('\n', '\\n');
  return [
    'ssl.keystore.type=PEM',
    `ssl.keystore.certificate.chain=${pem(broker.cert)}`,
    `ssl.keystore.key=${pem(broker.key)}`,
    'ssl.truststore.type=PEM',
    `ssl.truststore.certificates=${pem(authority.cert)}`,
  ];
}
