/** What a query will do, for people: its stages in their order, and what each of them reads. */
import type { Query, Stage } from './ast.ts';
import { type Read, readsOfPipeline, readsOfQuery } from './conditions.ts';
import { printMetrics, printReference, printSecondStage, printStage, printStatic } from './print.ts';

export interface PlanStep {
  /** The stage as it would be written. */
  stage: string;
  reads: PlanRead[];
}

export interface PlanRead {
  /** An attribute or intrinsic. */
  what: string;
  /** `> 5`, `= "a"`: what its column can be searched for; empty where every value counts. */
  conditions: string[];
  /** Whether a search shows it. */
  listed: boolean;
}

export function planOf(query: Query): PlanStep[] {
  const steps = query.pipeline.map((stage) => ({ stage: printStage(stage), reads: readsOf([stage]) }));
  if (query.metrics !== undefined) {
    const nothing: Query = { ...query, pipeline: [] };
    steps.push({ stage: printMetrics(query.metrics), reads: readsOfQuery(nothing).map(planRead) });
  }
  for (const stage of query.secondStages)
    steps.push({ stage: printSecondStage(stage).replace(/^[|\s]+/, ''), reads: [] });
  return steps;
}

function readsOf(stages: Stage[]): PlanRead[] {
  return readsOfPipeline(stages).map(planRead);
}

function planRead({ reference, conditions, untyped, listed }: Read): PlanRead {
  return {
    what: printReference(reference),
    // One read that wants every value makes the others moot.
    conditions: untyped ? [] : conditions.map(({ op, value }) => `${op} ${printStatic(value)}`),
    listed,
  };
}
