import type { Features } from './arbitrary-queries.ts';
import { FORMS, type Form } from './forms.ts';

/** What the engine can do; the lists grow until they hold everything. */
export const FEATURES: Features = {
  structural: true,
  pipelines: true,
  searched: FORMS,
  // Metrics do not put traces together yet that lie in several segments.
  measured: ['live', 'block', 'blocks'] satisfies Form[],
};
