/** What is recorded of requests to the admin API: who asked for what, and how it ended. The audit log writes it. */

/** Parts of a request's body. */
type About = Readonly<Record<string, string | number | boolean>>;

/** One request, as the log names it. */
export interface Audited {
  readonly action: string;
  readonly method: string;
  /** The path with its query. */
  readonly path: string;
  /** The tenant that the request is about; null: none, or all. */
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
  /** The HTTP status. */
  readonly status: number;
  /** The reason of the refusal; null when the request was not refused. */
  readonly reason: string | null;
}

/** Writes the end of a change that has begun. Never rejects. */
export type Finish = (ended: Ended) => Promise<void>;

/** The audit log as the admin API writes it. */
export interface AuditTrail {
  /**
   * Writes that a change is about to happen. Rejects with `audit-unavailable`: then the change must not
   * happen.
   */
  begin(audited: Audited): Promise<Finish>;
  /** Writes that a request was refused before it began. Never rejects. */
  refused(audited: Audited, ended: Ended): Promise<void>;
  /** Writes that something has happened which nobody asked for. Never rejects. */
  happened(audited: Audited): Promise<void>;
}
