// What the server sends and takes, as /openapi.json describes it.

export interface Scale {
  min: number;
  max: number;
  step: number | null;
}

export interface KindRule {
  weight: number | null;
  seen: boolean;
}

export interface Stats {
  version: string;
  started: number;
  now: number;
  model: string;
  model_version: string;
  model_items: number;
  store: { users: number; items: number; events: number; by_kind: Record<string, number>; last: number };
  memory: number | null;
  training: boolean;
  scale: Scale | null;
  kinds: Record<string, KindRule>;
  user_fields: UserField[];
  limits: Limits;
  /** What can be designed; none where the server has no generator. */
  designs: { categories: string[]; pixels: number } | null;
  /** The key that was asked with; none where none is needed. */
  key: KeyInfo | null;
}

/** A field of side information of users that the model can use. */
export interface UserField {
  name: string;
  kind: 'number' | 'value' | 'values';
  values: string[];
}

export interface Limits {
  body_bytes: number;
  bulk_bytes: number;
  request_seconds: number;
  concurrency: number;
  rate_per_second: number;
  rate_burst: number;
}

export type Feature = number | string | string[];
export type Features = Record<string, Feature>;

export interface Action {
  item: string;
  kind: string;
  value?: number;
}

/** Somebody: a user of the store, anybody with a history, or both. */
export interface Who {
  user?: string;
  history?: Action[];
  features?: Features;
}

export interface Wish {
  n?: number;
  offset?: number;
  diversity?: number;
  explain?: number;
  filter?: { categories?: string[] };
}

export interface Influence {
  item: string;
  title: string;
  value: number;
  effect: number;
}

export interface Recommended {
  item: string;
  title: string;
  score: number;
  predicted?: number;
  deviation?: number;
  confidence?: number;
  because?: Influence[];
}

export interface Recommendations {
  model: string;
  version: string;
  source: 'generated' | 'popular';
  used: number;
  unknown: number;
  /** Only the most promising part of a large catalogue was looked at. */
  approximate?: boolean;
  items: Recommended[];
  micros: number;
}

export interface Question {
  item: string;
  title: string;
  tells?: number;
  known: number;
}

export interface Near {
  key: string;
  title: string;
  similarity: number;
}

export interface Item {
  id: string;
  title: string;
  categories: string[];
  attributes: Features;
  hidden: boolean;
  known: boolean;
  count: number;
}

export interface ItemPage {
  items: Item[];
  total: number;
}

export interface UserLine {
  id: string;
  features: Record<string, unknown>;
  events: number;
}

export interface StoredEvent {
  item: string;
  title: string;
  kind: string;
  value?: number;
  time: number;
  known: boolean;
}

export interface User extends UserLine {
  history: StoredEvent[];
}

export interface Drift {
  users: number;
  scores: number;
  top_10: number;
}

/** A figure with its 95 % interval. */
export interface Figure {
  value: number;
  /** None of one user. */
  low: number | null;
  high: number | null;
  users: number;
  interactions: number;
}

/** Everything that judging says of a model. */
export interface Judgement {
  overall: Figure;
  /** By how many interactions the model was given. */
  by_given: { from: number; to: number | null; figure: Figure }[];
  /** Of models that state an uncertainty: shares within the central intervals, as they should be and as they are. */
  calibration: { expected: number; found: number }[];
}

export interface TrainReport {
  version: string | null;
  promoted: boolean;
  against: string;
  model: string;
  metric: string;
  candidate: number;
  serving: number;
  candidate_judged: Judgement;
  serving_judged: Judgement;
  stood_in: boolean;
  training: number;
  held_out: number;
  unknown_to_serving: number;
  users: number;
  items: number;
  drift: Drift;
  unused: number;
  verdict: string;
}

export interface Version {
  name: string;
  serving: boolean;
  model: string;
  data: { name?: string; fingerprint?: string; users?: number; items?: number; interactions?: number };
  config: Record<string, unknown>;
  metrics: Record<string, unknown>;
  report?: TrainReport | null;
}

/** An event as it is told to whoever watches. */
export interface Told {
  user: string;
  item: string;
  title: string;
  kind: string;
  value: number | null;
  time: number;
}

/** One write: its first events, and how many more there were. */
export interface Write {
  events: Told[];
  more: number;
}

/** What the lists of some users show of the catalogue. */
export interface Reach {
  users: number;
  n: number;
  items: number;
  shown: number;
  coverage: number;
  history_coverage: number;
  most: { item: string; title: string; lists: number }[];
}

export interface Epoch {
  number: number;
  of: number;
  train_rmse: number | null;
  validation_rmse: number | null;
  train_loss: number | null;
  validation_ndcg: number | null;
}

export type JobState = 'running' | 'done' | 'failed' | 'cancelled';

export interface Job {
  id: number;
  state: JobState;
  stage: string;
  epochs: Epoch[];
  started: number;
  ended: number | null;
  report: TrainReport | null;
  error: string | null;
}

export interface TrainOptions {
  model?: string;
  settings?: Record<string, unknown>;
  held_out?: number;
  tolerance?: number;
  promote?: boolean;
  threads?: number;
  seed?: number;
}

export type Role = 'read' | 'write' | 'admin';

export interface KeyInfo {
  id: string;
  label: string;
  role: Role;
  created: number;
}

export interface NewKey extends KeyInfo {
  key: string;
}

export interface Place {
  key: string;
  title: string;
  x: number;
  y: number;
}

export interface FactorMap {
  items: Place[];
  users: Place[];
  /** Share of the variance of the items' directions that two dimensions hold. */
  explained: number;
}

export interface Backup {
  file: string;
  bytes: number;
  store: { users: number; items: number; events: number };
}

/** Somebody, by the store or by what they bought, and what new item is to be made for them. */
export interface DesignOptions {
  user?: string;
  bought?: string[];
  category: string;
  /** A real item to start from. */
  tailor?: string;
  starts?: number;
  steps?: number;
  keep?: number;
  realism?: number;
  seed?: number;
}

/** A design under way, or one that ended; pictures are `data:` addresses. */
export interface DesignRun {
  id: number;
  state: JobState;
  person: string;
  category: string;
  tailor: string | null;
  step: number;
  steps: number;
  /** The best so far, best first; none while the design is being prepared. */
  shown: { picture: string; preference: number; realism: number }[];
  started: number;
  ended: number | null;
  design: Design | null;
  error: string | null;
}

export interface Design {
  /** Purchases that the recommender knew. */
  used: number;
  shown_steps: number[];
  /** The best first. */
  designs: Designed[];
  /** The person's best real items of the category. */
  best: (RealPicture & { preference: number })[];
  tailored: RealPicture | null;
}

export interface Designed {
  /** One for each of `shown_steps`. */
  pictures: string[];
  /** At each step, 0 first. */
  preference: number[];
  realism: number[];
  /** Share of the category's real items that the same scorer says are liked less. */
  percentile: number;
  /** Mean absolute difference of pixels, of 255. */
  nearest: (RealPicture & { difference: number })[];
}

export interface RealPicture {
  item: string;
  picture: string;
}
