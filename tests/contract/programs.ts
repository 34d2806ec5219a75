/** Gets the servers that tests speak to, so that no test has to wait for that: `node tests/contract/programs.ts`. */
import { azureProgram } from './azure-server.fixture.ts';
import { collectorProgram } from './collector.fixture.ts';
import { gcsProgram } from './gcs-server.fixture.ts';
import { s3Program } from './s3-server.fixture.ts';

for (const get of [s3Program, azureProgram, gcsProgram, collectorProgram]) await get();
