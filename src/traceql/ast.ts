/**
 * The tree of a TraceQL query: plain objects told apart by `type`, as `parseQuery` builds them (Tempo 3.0 grammar).
 *
 *     { span.a = 1 } >> { status = error } | by(name) | count() > 2 | rate() by(kind) | topk(5) with(sample=true)
 *     └──────── SpansetExpr ─────────────┘   └─────── Stage ──────┘   └── Metrics ──┘  └SecondStage┘ └─ Hint ─┘
 *     └──────────────────── pipeline ────────────────────────────┘
 *
 * Every node carries `offset`, the position of its first token in UTF-16 code units of the query text; for a binary
 * operation that is the position of the operator. Offsets take no part in equality: `{1=1}` and `{ true }` are the
 * same tree.
 *
 * Sub-expressions without attributes are folded while parsing, so a `Static` may stand for text that was longer.
 * `a || b || c …` grows along `left`: walk that spine with a loop, never with recursion. Along every other edge the
 * depth is bounded by the parser.
 */

/** A whole query. A search looks at `pipeline` only; `metrics` is absent in a query that is no metrics query. */
export type Query = {
  /** At least one stage. A query that starts with `count() > 2`, `by(…)` or `select(…)` starts from `{ }`. */
  pipeline: Stage[];
  metrics?: Metrics;
  /** Applied from left to right to the final series; empty without `metrics`. */
  secondStages: SecondStage[];
  /** The last `with(…)` group; names are not checked, unknown ones mean nothing. */
  hints: Hint[];
};

// ---- spansets ------------------------------------------------------------------------------------------------------

/** What yields a spanset per trace. A `PipelineOperand` occurs only as an operand of a `SpansetBinary`. */
export type SpansetExpr = SpansetFilter | SpansetBinary | PipelineOperand;

/** `{ expression }`; `{ }` has the expression `true`. */
export type SpansetFilter = { type: 'filter'; expression: FieldExpr; offset: number };

/** Left associative, `&&` and `||` on one level, structural operators above them. Answers the right side's spans. */
export type SpansetBinary = {
  type: 'spansetBinary';
  op: SpansetOp;
  left: SpansetExpr;
  right: SpansetExpr;
  offset: number;
};

/** `({ … } | count() > 1)` as an operand: a pipeline in parentheses. */
export type PipelineOperand = { type: 'pipeline'; stages: Stage[]; offset: number };

export type SpansetOp = '&&' | '||' | StructuralOp;

/** Plain forms keep the right side, `!` its complement, `&` both sides. */
export type StructuralOp = `${'' | '!' | '&'}${'>' | '>>' | '<' | '<<' | '~'}`;

// ---- pipeline ------------------------------------------------------------------------------------------------------

export type Stage = SpansetStage | ScalarFilter | GroupBy | Coalesce | Select;

/** A spanset expression between pipes. As a first stage it selects spans, later it filters each spanset. */
export type SpansetStage = { type: 'spanset'; expression: SpansetExpr; offset: number };

/** `count() > 2`. After `check` the left side is an `Aggregate` and the right side a `Static`. */
export type ScalarFilter = {
  type: 'scalarFilter';
  op: ComparisonOp;
  left: ScalarExpr;
  right: ScalarExpr;
  offset: number;
};

/** `by(expression)`: splits each spanset by the value. */
export type GroupBy = { type: 'by'; expression: FieldExpr; offset: number };

/** `coalesce()`: one spanset per trace again. */
export type Coalesce = { type: 'coalesce'; offset: number };

/** `select(a, b)`: adds to the output, filters nothing. */
export type Select = { type: 'select'; attributes: Reference[]; offset: number };

export type ScalarExpr = Aggregate | Static | ScalarBinary | ScalarPipeline;

/** `count()` has no argument, the others have one. */
export type Aggregate = {
  type: 'aggregate';
  name: 'count' | 'min' | 'max' | 'avg' | 'sum';
  argument?: FieldExpr;
  offset: number;
};

/** Parses, then `check` refuses it: `sum(.b) + 1 > 3`. */
export type ScalarBinary = {
  type: 'scalarBinary';
  op: ArithmeticOp;
  left: ScalarExpr;
  right: ScalarExpr;
  offset: number;
};

/** Parses, then `check` refuses it: `({ … } | count())`. */
export type ScalarPipeline = { type: 'scalarPipeline'; stages: Stage[]; aggregate: Aggregate; offset: number };

// ---- field expressions ---------------------------------------------------------------------------------------------

export type FieldExpr = Binary | Unary | Exists | Static | Reference;

export type Binary = { type: 'binary'; op: FieldOp; left: FieldExpr; right: FieldExpr; offset: number };

export type Unary = { type: 'unary'; op: '-' | '!'; operand: FieldExpr; offset: number };

/** `operand != nil`, or with `negated` `operand = nil`, whichever side the `nil` stood on. */
export type Exists = { type: 'exists'; negated: boolean; operand: FieldExpr; offset: number };

export type ArithmeticOp = '+' | '-' | '*' | '/' | '%' | '^';
export type ComparisonOp = '=' | '!=' | '<' | '<=' | '>' | '>=';
export type RegexOp = '=~' | '!~';
export type LogicalOp = '&&' | '||';
export type FieldOp = ArithmeticOp | ComparisonOp | RegexOp | LogicalOp;

/** What is read from a span. */
export type Reference = Attribute | Intrinsic;

/**
 * `.x` has the scope `none` (span, then resource). `name` is without quotes and escapes, and may be empty.
 * With `parent` it is read from the parent span (`parent.x`, `parent.span.x`, `parent.resource.x`): refused by
 * `check` everywhere but in arguments and labels of metrics, where it reads as nil.
 */
export type Attribute = { type: 'attribute'; scope: Scope; parent: boolean; name: string; offset: number };

export type Scope = 'none' | 'span' | 'resource' | 'event' | 'link' | 'instrumentation';

/** `span:duration` and `duration` are the same node: `name` is the canonical one. */
export type Intrinsic = { type: 'intrinsic'; name: IntrinsicName; offset: number };

export type IntrinsicName =
  | 'duration'
  | 'name'
  | 'status'
  | 'statusMessage'
  | 'kind'
  | 'traceDuration'
  | 'rootName'
  | 'rootServiceName'
  | 'trace:id'
  | 'span:id'
  | 'span:parentID'
  | 'span:childCount'
  | 'event:name'
  | 'event:timeSinceStart'
  | 'link:traceID'
  | 'link:spanID'
  | 'instrumentation:name'
  | 'instrumentation:version'
  | 'nestedSetLeft'
  | 'nestedSetRight'
  | 'nestedSetParent'
  | 'parent';

/** A literal, or what a constant sub-expression came to. */
export type Static = { type: 'static'; value: StaticValue; offset: number };

/** `nil` is a value while evaluating; in a parsed tree it is spelled as `Exists`. */
export type StaticValue =
  | { type: 'int'; value: bigint }
  | { type: 'float'; value: number }
  | { type: 'string'; value: string }
  | { type: 'bool'; value: boolean }
  | { type: 'duration'; ns: bigint }
  | { type: 'status'; value: StatusName }
  | { type: 'kind'; value: KindName }
  | { type: 'nil' };

export type StatusName = 'error' | 'ok' | 'unset';
export type KindName = 'unspecified' | 'internal' | 'server' | 'client' | 'producer' | 'consumer';

// ---- metrics -------------------------------------------------------------------------------------------------------

export type Metrics = RateMetrics | ValueMetrics | QuantileMetrics | CompareMetrics;

export type RateMetrics = { type: 'metrics'; name: 'rate' | 'count_over_time'; by: Reference[]; offset: number };

export type ValueMetrics = {
  type: 'metrics';
  name: 'min_over_time' | 'max_over_time' | 'avg_over_time' | 'sum_over_time' | 'histogram_over_time';
  attribute: Reference;
  by: Reference[];
  offset: number;
};

export type QuantileMetrics = {
  type: 'metrics';
  name: 'quantile_over_time';
  attribute: Reference;
  /** At least one; after `check` each within 0 … 1. */
  quantiles: number[];
  by: Reference[];
  offset: number;
};

export type CompareMetrics = {
  type: 'metrics';
  name: 'compare';
  filter: SpansetFilter;
  /** 10 unless written. */
  topN: number;
  /** The window of the selection in ns since 1970, absent or 0 and 0 for none. */
  startNs?: bigint;
  endNs?: bigint;
  offset: number;
};

export type SecondStage = TopK | SeriesFilter;

export type TopK = { type: 'topk' | 'bottomk'; limit: number; offset: number };

/** `> 0.5` after a metrics function. The value is an int, float or duration (compared in seconds). */
export type SeriesFilter = { type: 'seriesFilter'; op: ComparisonOp; value: Static; offset: number };

export type Hint = { name: string; value: StaticValue; offset: number };
