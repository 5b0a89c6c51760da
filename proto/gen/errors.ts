// Generated from proto/errors.json by `deno task gen`. Do not edit.

/** Every refusal by its stable reason. `close` is 0 unless `outcome` is "close". */
export const ERRORS = {
  "malformed-frame": {"number":1,"code":400,"outcome":"reply","client":"never-retry","close":0,"counted":true,"message":"Malformed frame: {detail}"},
  "unknown-opcode": {"number":2,"code":400,"outcome":"reply","client":"never-retry","close":0,"counted":true,"message":"Unknown opcode: {detail}"},
  "repeated-field": {"number":3,"code":400,"outcome":"reply","client":"never-retry","close":0,"counted":true,"message":"Repeated field: {detail}"},
  "unknown-field": {"number":4,"code":400,"outcome":"reply","client":"never-retry","close":0,"counted":true,"message":"Unknown field: {detail}"},
  "payload-count": {"number":5,"code":400,"outcome":"reply","client":"never-retry","close":0,"counted":true,"message":"Payload count: {detail}"},
  "invalid-room": {"number":6,"code":400,"outcome":"reply","client":"never-retry","close":0,"counted":false,"message":"Invalid room: {detail}"},
  "invalid-field": {"number":7,"code":400,"outcome":"reply","client":"never-retry","close":0,"counted":false,"message":"Invalid field: {detail}"},
  "too-many-headers": {"number":8,"code":400,"outcome":"reply","client":"never-retry","close":0,"counted":false,"message":"Too many headers: {detail}"},
  "not-durable": {"number":9,"code":400,"outcome":"reply","client":"never-retry","close":0,"counted":false,"message":"Not durable: {detail}"},
  "invalid-filter": {"number":190,"code":400,"outcome":"reply","client":"never-retry","close":0,"counted":false,"message":"Invalid filter: {detail}"},
  "invalid-command": {"number":10,"code":400,"outcome":"reply","client":"never-retry","close":0,"counted":false,"message":"Invalid command: {detail}"},
  "unsupported-subprotocol": {"number":11,"code":400,"outcome":"http","client":"never-retry","close":0,"counted":false,"message":"Unsupported subprotocol: {detail}"},
  "not-a-websocket": {"number":12,"code":400,"outcome":"http","client":"never-retry","close":0,"counted":false,"message":"Not a websocket: {detail}"},
  "malformed-body": {"number":13,"code":400,"outcome":"http","client":"never-retry","close":0,"counted":false,"message":"Malformed body: {detail}"},
  "schema-violation": {"number":14,"code":400,"outcome":"reply","client":"never-retry","close":0,"counted":false,"message":"Schema violation: {detail}"},
  "token-missing": {"number":20,"code":401,"outcome":"http","client":"refresh-token","close":0,"counted":false,"message":"Token missing"},
  "token-malformed": {"number":21,"code":401,"outcome":"http","client":"refresh-token","close":0,"counted":false,"message":"Token malformed: {detail}"},
  "token-too-large": {"number":22,"code":401,"outcome":"http","client":"refresh-token","close":0,"counted":false,"message":"Token too large: {detail}"},
  "token-algorithm": {"number":23,"code":401,"outcome":"http","client":"refresh-token","close":0,"counted":false,"message":"Token algorithm: {detail}"},
  "token-issuer": {"number":24,"code":401,"outcome":"http","client":"refresh-token","close":0,"counted":false,"message":"Token issuer: {detail}"},
  "token-audience": {"number":25,"code":401,"outcome":"http","client":"refresh-token","close":0,"counted":false,"message":"Token audience: {detail}"},
  "token-unknown-key": {"number":26,"code":401,"outcome":"http","client":"refresh-token","close":0,"counted":false,"message":"Token unknown key: {detail}"},
  "token-signature": {"number":27,"code":401,"outcome":"http","client":"refresh-token","close":0,"counted":false,"message":"Token signature: {detail}"},
  "token-expired": {"number":28,"code":401,"outcome":"close","client":"refresh-token","close":4401,"counted":false,"message":"Token expired"},
  "token-not-yet-valid": {"number":29,"code":401,"outcome":"http","client":"refresh-token","close":0,"counted":false,"message":"Token not yet valid"},
  "token-claim": {"number":30,"code":401,"outcome":"http","client":"refresh-token","close":0,"counted":false,"message":"Token claim: {detail}"},
  "token-scope": {"number":31,"code":401,"outcome":"http","client":"refresh-token","close":0,"counted":false,"message":"Token scope: {detail}"},
  "refresh-mismatch": {"number":32,"code":401,"outcome":"close","client":"never-retry","close":4401,"counted":false,"message":"Refresh mismatch: {detail}"},
  "refresh-refused": {"number":33,"code":401,"outcome":"close","client":"refresh-token","close":4401,"counted":false,"message":"Refresh refused: {detail}"},
  "token-revoked": {"number":34,"code":401,"outcome":"close","client":"refresh-token","close":4401,"counted":false,"message":"The token was revoked{detail}"},
  "tenant-mismatch": {"number":40,"code":403,"outcome":"reply","client":"never-retry","close":0,"counted":false,"message":"Tenant mismatch: {detail}"},
  "not-granted": {"number":41,"code":403,"outcome":"reply","client":"never-retry","close":0,"counted":false,"message":"Not granted: {detail}"},
  "reserved-type": {"number":42,"code":403,"outcome":"reply","client":"never-retry","close":0,"counted":false,"message":"Reserved type: {detail}"},
  "signal-forbidden": {"number":43,"code":403,"outcome":"reply","client":"never-retry","close":0,"counted":false,"message":"Signal forbidden: {detail}"},
  "reserved-header": {"number":44,"code":403,"outcome":"reply","client":"never-retry","close":0,"counted":false,"message":"Reserved header: {detail}"},
  "signature-invalid": {"number":45,"code":403,"outcome":"reply","client":"never-retry","close":0,"counted":false,"message":"Signature invalid"},
  "signature-no-key": {"number":46,"code":403,"outcome":"reply","client":"never-retry","close":0,"counted":false,"message":"The message is signed, its token has no key"},
  "signature-required": {"number":47,"code":403,"outcome":"reply","client":"never-retry","close":0,"counted":false,"message":"Signature required: {detail}"},
  "origin-not-allowed": {"number":48,"code":403,"outcome":"http","client":"never-retry","close":0,"counted":false,"message":"Origin not allowed: {detail}"},
  "role-forbidden": {"number":49,"code":403,"outcome":"http","client":"never-retry","close":0,"counted":false,"message":"Role forbidden: {detail}"},
  "policy-rejected": {"number":50,"code":403,"outcome":"reply","client":"never-retry","close":0,"counted":false,"message":"Message blocked by policy{detail}"},
  "call-rejected": {"number":196,"code":403,"outcome":"reply","client":"never-retry","close":0,"counted":false,"message":"Call rejected: {detail}"},
  "policy-fault": {"number":51,"code":503,"outcome":"reply","client":"back-off","close":0,"counted":false,"message":"Message blocked by policy{detail}"},
  "policy-loading": {"number":161,"code":503,"outcome":"reply","client":"back-off","close":0,"counted":false,"message":"The policies are being loaded{detail}"},
  "policy-chain-fuel": {"number":162,"code":503,"outcome":"reply","client":"back-off","close":0,"counted":false,"message":"The policies of the message cost too much{detail}"},
  "host-not-allowed": {"number":163,"code":403,"outcome":"http","client":"never-retry","close":0,"counted":false,"message":"Host not allowed: {detail}"},
  "banned": {"number":52,"code":403,"outcome":"close","client":"never-retry","close":4403,"counted":false,"message":"You are banned from this tenant{detail}"},
  "disconnected": {"number":140,"code":403,"outcome":"close","client":"never-retry","close":1008,"counted":false,"message":"Disconnected: {detail}"},
  "room-banned": {"number":53,"code":403,"outcome":"reply","client":"never-retry","close":0,"counted":false,"message":"You are banned from room {detail}"},
  "command-forbidden": {"number":54,"code":403,"outcome":"reply","client":"never-retry","close":0,"counted":false,"message":"Command forbidden: {detail}"},
  "presence-disabled": {"number":55,"code":403,"outcome":"reply","client":"never-retry","close":0,"counted":false,"message":"Presence disabled: {detail}"},
  "not-found": {"number":60,"code":404,"outcome":"http","client":"never-retry","close":0,"counted":false,"message":"Not found: {detail}"},
  "not-subscribed": {"number":61,"code":404,"outcome":"reply","client":"never-retry","close":0,"counted":false,"message":"Not subscribed: {detail}"},
  "method-not-allowed": {"number":62,"code":405,"outcome":"http","client":"never-retry","close":0,"counted":false,"message":"Method not allowed: {detail}"},
  "not-acceptable": {"number":181,"code":406,"outcome":"http","client":"never-retry","close":0,"counted":false,"message":"Not acceptable: {detail}"},
  "ticket-invalid": {"number":182,"code":401,"outcome":"http","client":"never-retry","close":0,"counted":false,"message":"Ticket invalid: {detail}"},
  "command-timeout": {"number":70,"code":408,"outcome":"reply","client":"back-off","close":0,"counted":false,"message":"No answer to the command in {detail}"},
  "version-conflict": {"number":71,"code":409,"outcome":"reply","client":"never-retry","close":0,"counted":false,"message":"The room is at version {detail}"},
  "locked": {"number":72,"code":409,"outcome":"reply","client":"back-off","close":0,"counted":false,"message":"The room is locked by {detail}"},
  "fence-mismatch": {"number":73,"code":409,"outcome":"reply","client":"never-retry","close":0,"counted":false,"message":"Fence mismatch: {detail}"},
  "heartbeat-lost": {"number":74,"code":408,"outcome":"close","client":"back-off","close":4408,"counted":false,"message":"Heartbeat lost: {detail}"},
  "too-large": {"number":80,"code":413,"outcome":"reply","client":"never-retry","close":0,"counted":true,"message":"Too large: {detail}"},
  "frame-too-large": {"number":83,"code":413,"outcome":"close","client":"never-retry","close":4413,"counted":false,"message":"Frame too large: {detail}"},
  "message-too-large": {"number":81,"code":413,"outcome":"reply","client":"never-retry","close":0,"counted":false,"message":"Message too large: {detail}"},
  "unsupported-media-type": {"number":82,"code":415,"outcome":"http","client":"never-retry","close":0,"counted":false,"message":"Unsupported media type: {detail}"},
  "rate-limited": {"number":90,"code":429,"outcome":"reply","client":"back-off","close":0,"counted":false,"message":"Rate limited: {detail}"},
  "too-many-rooms": {"number":91,"code":429,"outcome":"reply","client":"never-retry","close":0,"counted":false,"message":"Too many rooms: {detail}"},
  "too-many-filters": {"number":191,"code":429,"outcome":"reply","client":"never-retry","close":0,"counted":false,"message":"Too many filters: {detail}"},
  "too-many-connections": {"number":92,"code":429,"outcome":"http","client":"back-off","close":0,"counted":false,"message":"Too many connections: {detail}"},
  "too-many-pending": {"number":93,"code":429,"outcome":"reply","client":"back-off","close":0,"counted":false,"message":"Too many pending: {detail}"},
  "room-limit": {"number":96,"code":429,"outcome":"reply","client":"back-off","close":0,"counted":false,"message":"Room limit: {detail}"},
  "room-bytes-limit": {"number":171,"code":429,"outcome":"reply","client":"never-retry","close":0,"counted":false,"message":"The tenant's rooms may not take more than {detail}"},
  "member-limit": {"number":97,"code":429,"outcome":"reply","client":"back-off","close":0,"counted":false,"message":"Member limit: {detail}"},
  "ban-limit": {"number":98,"code":429,"outcome":"reply","client":"never-retry","close":0,"counted":false,"message":"Ban limit: {detail}"},
  "tenant-quota": {"number":99,"code":429,"outcome":"reply","client":"back-off","close":0,"counted":false,"message":"The tenant's quota of {detail} is used up"},
  "budget-exhausted": {"number":172,"code":429,"outcome":"reply","client":"never-retry","close":0,"counted":false,"message":"Budget exhausted: {detail}"},
  "revocation-limit": {"number":138,"code":429,"outcome":"http","client":"back-off","close":0,"counted":false,"message":"Revocation limit: {detail}"},
  "slow-consumer": {"number":94,"code":429,"outcome":"close","client":"back-off","close":4429,"counted":false,"message":"Slow consumer"},
  "flooding": {"number":87,"code":429,"outcome":"close","client":"back-off","close":4429,"counted":false,"message":"Flooding: {detail}"},
  "too-many-protocol-errors": {"number":95,"code":429,"outcome":"close","client":"never-retry","close":1008,"counted":false,"message":"Too many protocol errors"},
  "internal": {"number":100,"code":500,"outcome":"reply","client":"back-off","close":0,"counted":false,"message":"Internal error"},
  "spine-unavailable": {"number":101,"code":503,"outcome":"reply","client":"other-node","close":0,"counted":false,"message":"Spine unavailable: {detail}"},
  "brain-unavailable": {"number":102,"code":503,"outcome":"reply","client":"other-node","close":0,"counted":false,"message":"Brain unavailable"},
  "keys-unavailable": {"number":103,"code":503,"outcome":"http","client":"other-node","close":0,"counted":false,"message":"Keys unavailable"},
  "draining": {"number":104,"code":503,"outcome":"reply","client":"other-node","close":0,"counted":false,"message":"This node is shutting down"},
  "presence-unavailable": {"number":105,"code":503,"outcome":"reply","client":"back-off","close":0,"counted":false,"message":"Presence unavailable: {detail}"},
  "at-capacity": {"number":106,"code":503,"outcome":"http","client":"other-node","close":0,"counted":false,"message":"At capacity: {detail}"},
  "schema-unavailable": {"number":107,"code":503,"outcome":"reply","client":"back-off","close":0,"counted":false,"message":"Schema unavailable: {detail}"},
  "incompatible-version": {"number":110,"code":503,"outcome":"reply","client":"back-off","close":0,"counted":false,"message":"Incompatible version: {detail}"},
  "log-unavailable": {"number":108,"code":503,"outcome":"reply","client":"back-off","close":0,"counted":false,"message":"Log unavailable: {detail}"},
  "admission": {"number":109,"code":503,"outcome":"http","client":"other-node","close":0,"counted":false,"message":"Admission: {detail}"},
  "process-unavailable": {"number":114,"code":503,"outcome":"http","client":"back-off","close":0,"counted":false,"message":"Process unavailable: {detail}"},
  "unreachable": {"number":120,"code":503,"outcome":"reply","client":"back-off","close":0,"counted":false,"message":"Unreachable: {detail}"},
  "connection-lost": {"number":121,"code":503,"outcome":"reply","client":"back-off","close":0,"counted":false,"message":"Connection lost: {detail}"},
  "connection-closed": {"number":122,"code":400,"outcome":"reply","client":"never-retry","close":0,"counted":false,"message":"Connection closed: {detail}"},
  "answer-timeout": {"number":123,"code":408,"outcome":"reply","client":"back-off","close":0,"counted":false,"message":"No answer within {detail} ms"},
  "signing-failed": {"number":155,"code":400,"outcome":"reply","client":"never-retry","close":0,"counted":false,"message":"Signing failed: {detail}"},
  "handler-failed": {"number":156,"code":400,"outcome":"reply","client":"never-retry","close":0,"counted":false,"message":"Handler failed: {detail}"},
  "audit-unavailable": {"number":170,"code":503,"outcome":"http","client":"other-node","close":0,"counted":false,"message":"Audit unavailable: {detail}"},
  "invalid-policy": {"number":130,"code":400,"outcome":"http","client":"never-retry","close":0,"counted":false,"message":"Invalid policy: {detail}"},
  "policy-unknown": {"number":131,"code":404,"outcome":"http","client":"never-retry","close":0,"counted":false,"message":"Policy unknown: {detail}"},
  "policy-conflict": {"number":132,"code":409,"outcome":"http","client":"back-off","close":0,"counted":false,"message":"Policy conflict: {detail}"},
  "invalid-schema": {"number":133,"code":400,"outcome":"http","client":"never-retry","close":0,"counted":false,"message":"Invalid schema: {detail}"},
  "schema-unknown": {"number":134,"code":404,"outcome":"http","client":"never-retry","close":0,"counted":false,"message":"Schema unknown: {detail}"},
  "schema-incompatible": {"number":135,"code":409,"outcome":"http","client":"never-retry","close":0,"counted":false,"message":"Schema incompatible: {detail}"},
  "settings-conflict": {"number":136,"code":409,"outcome":"http","client":"back-off","close":0,"counted":false,"message":"Settings conflict: {detail}"},
  "invalid-settings": {"number":137,"code":400,"outcome":"http","client":"never-retry","close":0,"counted":false,"message":"Invalid settings: {detail}"},
  "growing-unknown": {"number":143,"code":404,"outcome":"reply","client":"never-retry","close":0,"counted":false,"message":"Growing unknown: {detail}"},
  "growing-conflict": {"number":139,"code":409,"outcome":"reply","client":"never-retry","close":0,"counted":false,"message":"Growing conflict: {detail}"},
  "growing-ended": {"number":144,"code":409,"outcome":"reply","client":"never-retry","close":0,"counted":false,"message":"Growing ended: {detail}"},
  "growing-limit": {"number":141,"code":429,"outcome":"reply","client":"back-off","close":0,"counted":false,"message":"Growing limit: {detail}"},
  "growing-forbidden": {"number":142,"code":403,"outcome":"reply","client":"never-retry","close":0,"counted":false,"message":"Growing forbidden: {detail}"},
} as const;

/** The same for clients, which do without the rest of it: see `reasons.ts`. */
export const REASON_GROUPS: string = `400|invalid-field|invalid-schema|signing-failed|handler-failed|connection-closed|repeated-field|unknown-field|invalid-command|unknown-opcode|not-durable|malformed-frame|unsupported-subprotocol|invalid-room|schema-violation|invalid-filter|invalid-settings|too-many-headers|not-a-websocket|payload-count|invalid-policy|malformed-body
401  refresh-token|token-claim|token-malformed|token-not-yet-valid|token-audience|token-too-large|token-scope|token-signature|token-missing|token-algorithm|token-issuer|token-unknown-key
401 4401 refresh-token|token-revoked=The token was revoked{detail}|token-expired|refresh-refused
401|ticket-invalid
401 4401|refresh-mismatch
403|policy-rejected=Message blocked by policy{detail}|presence-disabled|room-banned=You are banned from room {detail}|signature-required|call-rejected|not-granted|origin-not-allowed|host-not-allowed|signature-invalid|reserved-type|tenant-mismatch|command-forbidden|role-forbidden|growing-forbidden|signal-forbidden|reserved-header|signature-no-key=The message is signed, its token has no key
403 4403|banned=You are banned from this tenant{detail}
403 1008|disconnected
404|not-found|not-subscribed|schema-unknown|growing-unknown|policy-unknown
405|method-not-allowed
406|not-acceptable
408  back-off|command-timeout=No answer to the command in {detail}|answer-timeout=No answer within {detail} ms
408 4408 back-off|heartbeat-lost
409|version-conflict=The room is at version {detail}|growing-ended|schema-incompatible|fence-mismatch|growing-conflict
409  back-off|locked=The room is locked by {detail}|settings-conflict|policy-conflict
413|message-too-large|too-large
413 4413|frame-too-large
415|unsupported-media-type
429  back-off|rate-limited|tenant-quota=The tenant's quota of {detail} is used up|too-many-pending|too-many-connections|growing-limit|room-limit|revocation-limit|member-limit
429|budget-exhausted|too-many-rooms|too-many-filters|ban-limit|room-bytes-limit=The tenant's rooms may not take more than {detail}
429 4429 back-off|flooding|slow-consumer
429 1008|too-many-protocol-errors
500  back-off|internal=Internal error
503  other-node|spine-unavailable|brain-unavailable|keys-unavailable|audit-unavailable|draining=This node is shutting down|admission|at-capacity
503  back-off|unreachable|schema-unavailable|presence-unavailable|log-unavailable|process-unavailable|policy-loading=The policies are being loaded{detail}|policy-chain-fuel=The policies of the message cost too much{detail}|incompatible-version|policy-fault=Message blocked by policy{detail}|connection-lost`;

/** The closed union of refusal reasons. */
export type Reason = keyof typeof ERRORS;

/** Every close code, and whether a client reconnects after it. */
export const CLOSES = {
  1000: {"name":"normal","reconnect":false,"client":"none"},
  1001: {"name":"going-away","reconnect":true,"client":"other-node"},
  1008: {"name":"policy-violation","reconnect":false,"client":"never-retry"},
  1009: {"name":"message-too-big","reconnect":false,"client":"never-retry"},
  1012: {"name":"service-restart","reconnect":true,"client":"other-node"},
  4401: {"name":"token-expired","reconnect":true,"client":"refresh-token"},
  4403: {"name":"banned","reconnect":false,"client":"never-retry"},
  4408: {"name":"heartbeat-lost","reconnect":true,"client":"back-off"},
  4413: {"name":"frame-too-large","reconnect":false,"client":"never-retry"},
  4429: {"name":"too-slow-or-too-fast","reconnect":true,"client":"back-off"},
} as const;

/** The same for clients: the name, and what one does, unless that is `never-retry`. */
export const CLOSE_GROUPS: Readonly<Record<number, string>> = {
  1000: "normal none",
  1001: "going-away other-node",
  1008: "policy-violation",
  1009: "message-too-big",
  1012: "service-restart other-node",
  4401: "token-expired refresh-token",
  4403: "banned",
  4408: "heartbeat-lost back-off",
  4413: "frame-too-large",
  4429: "too-slow-or-too-fast back-off",
};

export type CloseCode = keyof typeof CLOSES;
