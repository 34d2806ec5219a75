import assert from 'node:assert/strict';
import { it } from 'node:test';
import { SEED } from '../property.ts';
import { DECODERS } from './decoders.ts';
import { fuzz } from './fuzz.ts';

for (const decoder of DECODERS)
  it(`${decoder.name}: 20 000 changed requests are decoded or refused`, () => {
    assert.ok(fuzz(decoder, 20_000, SEED).decoded > 0);
  });
