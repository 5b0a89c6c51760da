/** The records of admin API requests for the audit log: who requested what, and the outcome. */

/** Parts of a request's body. */
type About = Readonly<Record<string, string | number | boolean>>;

/** One request, as the audit log records it. */
export interface Audited {
  readonly action: string;
  readonly method: string;
  readonly path: string;
  /** The tenant of the request; null: none, or all. */
  readonly tenant: string | null;
  readonly by: string | null;
  readonly by_tenant: string | null;
  /** True for an operator of the whole bus. */
  readonly operator: boolean;
  /** Address of the caller. */
  readonly from: string;
  readonly about: Promise<About> | About;
}

/** How a request ended. */
export interface Ended {
  readonly status: number;
  /** The reason of the refusal; null when the request was not refused. */
  readonly reason: string | null;
  /** Whether the answer was not read to its end; absent: it was, or is read at once. */
  readonly is_cut?: boolean;
}

/** Records the end of a change that has begun. Never rejects. */
export type Finish = (ended: Ended) => Promise<void>;

/** The audit log, as the admin API uses it. */
export interface AuditTrail {
  /** Records that a change is about to happen. Rejects with `audit-unavailable`: the change must then not happen. */
  begin(audited: Audited): Promise<Finish>;
  /** Records a request that was refused before it began. Never rejects. */
  refused(audited: Audited, ended: Ended): Promise<void>;
  /** Records an event that no request caused. Never rejects. */
  happened(audited: Audited): Promise<void>;
}
