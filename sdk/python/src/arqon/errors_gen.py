"""One exception per reason. Generated from proto/errors.json by `deno task gen`. Do not edit."""

from typing import Final

from arqon.errors import ERRORS as ERRORS
from arqon.errors import ArqonError, CloseEntry

__all__ = [
    "Admission", "AnswerTimeout", "AtCapacity", "AuditUnavailable", "BanLimit", "Banned",
    "BrainUnavailable", "BudgetExhausted", "CallRejected", "CommandForbidden", "CommandTimeout",
    "ConnectionClosed", "ConnectionLost", "Disconnected", "Draining", "FenceMismatch", "Flooding",
    "FrameTooLarge", "GrowingConflict", "GrowingEnded", "GrowingForbidden", "GrowingLimit",
    "GrowingUnknown", "HandlerFailed", "HeartbeatLost", "HostNotAllowed", "IncompatibleVersion",
    "Internal", "InvalidCommand", "InvalidField", "InvalidFilter", "InvalidPolicy", "InvalidRoom",
    "InvalidSchema", "InvalidSettings", "KeysUnavailable", "Locked", "LogUnavailable",
    "MalformedBody", "MalformedFrame", "MemberLimit", "MessageTooLarge", "MethodNotAllowed",
    "NotAWebsocket", "NotAcceptable", "NotDurable", "NotFound", "NotGranted", "NotSubscribed",
    "OriginNotAllowed", "PayloadCount", "PolicyChainFuel", "PolicyConflict", "PolicyFault",
    "PolicyLoading", "PolicyRejected", "PolicyUnknown", "PresenceDisabled", "PresenceUnavailable",
    "ProcessUnavailable", "RateLimited", "RefreshMismatch", "RefreshRefused", "RepeatedField",
    "ReservedHeader", "ReservedType", "RevocationLimit", "RoleForbidden", "RoomBanned",
    "RoomBytesLimit", "RoomLimit", "SchemaIncompatible", "SchemaUnavailable", "SchemaUnknown",
    "SchemaViolation", "SettingsConflict", "SignalForbidden", "SignatureInvalid", "SignatureNoKey",
    "SignatureRequired", "SigningFailed", "SlowConsumer", "SpineUnavailable", "TenantMismatch",
    "TenantQuota", "TicketInvalid", "TokenAlgorithm", "TokenAudience", "TokenClaim", "TokenExpired",
    "TokenIssuer", "TokenMalformed", "TokenMissing", "TokenNotYetValid", "TokenRevoked",
    "TokenScope", "TokenSignature", "TokenTooLarge", "TokenUnknownKey", "TooLarge",
    "TooManyConnections", "TooManyFilters", "TooManyHeaders", "TooManyPending",
    "TooManyProtocolErrors", "TooManyRooms", "UnknownField", "UnknownOpcode", "Unreachable",
    "UnsupportedMediaType", "UnsupportedSubprotocol", "VersionConflict",
]

class InvalidField(ArqonError, reason="invalid-field", entry=(7, 400, "reply", "never-retry", 0, "Invalid field: {detail}")): """400: Invalid field: …."""
class TokenClaim(ArqonError, reason="token-claim", entry=(30, 401, "http", "refresh-token", 0, "Token claim: {detail}")): """401: Token claim: …."""
class PolicyRejected(ArqonError, reason="policy-rejected", entry=(50, 403, "reply", "never-retry", 0, "Message blocked by policy{detail}")): """403: Message blocked by policy…."""
class NotFound(ArqonError, reason="not-found", entry=(60, 404, "http", "never-retry", 0, "Not found: {detail}")): """404: Not found: …."""
class MethodNotAllowed(ArqonError, reason="method-not-allowed", entry=(62, 405, "http", "never-retry", 0, "Method not allowed: {detail}")): """405: Method not allowed: …."""
class CommandTimeout(ArqonError, reason="command-timeout", entry=(70, 408, "reply", "back-off", 0, "No answer to the command in {detail}")): """408: No answer to the command in …."""
class VersionConflict(ArqonError, reason="version-conflict", entry=(71, 409, "reply", "never-retry", 0, "The room is at version {detail}")): """409: The room is at version …."""
class MessageTooLarge(ArqonError, reason="message-too-large", entry=(81, 413, "reply", "never-retry", 0, "Message too large: {detail}")): """413: Message too large: …."""
class UnsupportedMediaType(ArqonError, reason="unsupported-media-type", entry=(82, 415, "http", "never-retry", 0, "Unsupported media type: {detail}")): """415: Unsupported media type: …."""
class RateLimited(ArqonError, reason="rate-limited", entry=(90, 429, "reply", "back-off", 0, "Rate limited: {detail}")): """429: Rate limited: …."""
class Internal(ArqonError, reason="internal", entry=(100, 500, "reply", "back-off", 0, "Internal error")): """500: Internal error."""
class SpineUnavailable(ArqonError, reason="spine-unavailable", entry=(101, 503, "reply", "other-node", 0, "Spine unavailable: {detail}")): """503: Spine unavailable: …."""
class MalformedFrame(ArqonError, reason="malformed-frame", entry=(1, 400, "reply", "never-retry", 0, "Malformed frame: {detail}")): """400: Malformed frame: …."""
class UnknownOpcode(ArqonError, reason="unknown-opcode", entry=(2, 400, "reply", "never-retry", 0, "Unknown opcode: {detail}")): """400: Unknown opcode: …."""
class RepeatedField(ArqonError, reason="repeated-field", entry=(3, 400, "reply", "never-retry", 0, "Repeated field: {detail}")): """400: Repeated field: …."""
class UnknownField(ArqonError, reason="unknown-field", entry=(4, 400, "reply", "never-retry", 0, "Unknown field: {detail}")): """400: Unknown field: …."""
class PayloadCount(ArqonError, reason="payload-count", entry=(5, 400, "reply", "never-retry", 0, "Payload count: {detail}")): """400: Payload count: …."""
class InvalidRoom(ArqonError, reason="invalid-room", entry=(6, 400, "reply", "never-retry", 0, "Invalid room: {detail}")): """400: Invalid room: …."""
class TooManyHeaders(ArqonError, reason="too-many-headers", entry=(8, 400, "reply", "never-retry", 0, "Too many headers: {detail}")): """400: Too many headers: …."""
class NotDurable(ArqonError, reason="not-durable", entry=(9, 400, "reply", "never-retry", 0, "Not durable: {detail}")): """400: Not durable: …."""
class InvalidFilter(ArqonError, reason="invalid-filter", entry=(190, 400, "reply", "never-retry", 0, "Invalid filter: {detail}")): """400: Invalid filter: …."""
class InvalidCommand(ArqonError, reason="invalid-command", entry=(10, 400, "reply", "never-retry", 0, "Invalid command: {detail}")): """400: Invalid command: …."""
class UnsupportedSubprotocol(ArqonError, reason="unsupported-subprotocol", entry=(11, 400, "http", "never-retry", 0, "Unsupported subprotocol: {detail}")): """400: Unsupported subprotocol: …."""
class NotAWebsocket(ArqonError, reason="not-a-websocket", entry=(12, 400, "http", "never-retry", 0, "Not a websocket: {detail}")): """400: Not a websocket: …."""
class MalformedBody(ArqonError, reason="malformed-body", entry=(13, 400, "http", "never-retry", 0, "Malformed body: {detail}")): """400: Malformed body: …."""
class SchemaViolation(ArqonError, reason="schema-violation", entry=(14, 400, "reply", "never-retry", 0, "Schema violation: {detail}")): """400: Schema violation: …."""
class TokenMissing(ArqonError, reason="token-missing", entry=(20, 401, "http", "refresh-token", 0, "Token missing")): """401: Token missing."""
class TokenMalformed(ArqonError, reason="token-malformed", entry=(21, 401, "http", "refresh-token", 0, "Token malformed: {detail}")): """401: Token malformed: …."""
class TokenTooLarge(ArqonError, reason="token-too-large", entry=(22, 401, "http", "refresh-token", 0, "Token too large: {detail}")): """401: Token too large: …."""
class TokenAlgorithm(ArqonError, reason="token-algorithm", entry=(23, 401, "http", "refresh-token", 0, "Token algorithm: {detail}")): """401: Token algorithm: …."""
class TokenIssuer(ArqonError, reason="token-issuer", entry=(24, 401, "http", "refresh-token", 0, "Token issuer: {detail}")): """401: Token issuer: …."""
class TokenAudience(ArqonError, reason="token-audience", entry=(25, 401, "http", "refresh-token", 0, "Token audience: {detail}")): """401: Token audience: …."""
class TokenUnknownKey(ArqonError, reason="token-unknown-key", entry=(26, 401, "http", "refresh-token", 0, "Token unknown key: {detail}")): """401: Token unknown key: …."""
class TokenSignature(ArqonError, reason="token-signature", entry=(27, 401, "http", "refresh-token", 0, "Token signature: {detail}")): """401: Token signature: …."""
class TokenExpired(ArqonError, reason="token-expired", entry=(28, 401, "close", "refresh-token", 4401, "Token expired")): """401: Token expired."""
class TokenNotYetValid(ArqonError, reason="token-not-yet-valid", entry=(29, 401, "http", "refresh-token", 0, "Token not yet valid")): """401: Token not yet valid."""
class TokenScope(ArqonError, reason="token-scope", entry=(31, 401, "http", "refresh-token", 0, "Token scope: {detail}")): """401: Token scope: …."""
class RefreshMismatch(ArqonError, reason="refresh-mismatch", entry=(32, 401, "close", "never-retry", 4401, "Refresh mismatch: {detail}")): """401: Refresh mismatch: …."""
class RefreshRefused(ArqonError, reason="refresh-refused", entry=(33, 401, "close", "refresh-token", 4401, "Refresh refused: {detail}")): """401: Refresh refused: …."""
class TokenRevoked(ArqonError, reason="token-revoked", entry=(34, 401, "close", "refresh-token", 4401, "The token was revoked{detail}")): """401: The token was revoked…."""
class TenantMismatch(ArqonError, reason="tenant-mismatch", entry=(40, 403, "reply", "never-retry", 0, "Tenant mismatch: {detail}")): """403: Tenant mismatch: …."""
class NotGranted(ArqonError, reason="not-granted", entry=(41, 403, "reply", "never-retry", 0, "Not granted: {detail}")): """403: Not granted: …."""
class ReservedType(ArqonError, reason="reserved-type", entry=(42, 403, "reply", "never-retry", 0, "Reserved type: {detail}")): """403: Reserved type: …."""
class SignalForbidden(ArqonError, reason="signal-forbidden", entry=(43, 403, "reply", "never-retry", 0, "Signal forbidden: {detail}")): """403: Signal forbidden: …."""
class ReservedHeader(ArqonError, reason="reserved-header", entry=(44, 403, "reply", "never-retry", 0, "Reserved header: {detail}")): """403: Reserved header: …."""
class SignatureInvalid(ArqonError, reason="signature-invalid", entry=(45, 403, "reply", "never-retry", 0, "Signature invalid")): """403: Signature invalid."""
class SignatureNoKey(ArqonError, reason="signature-no-key", entry=(46, 403, "reply", "never-retry", 0, "The message is signed, its token has no key")): """403: The message is signed, its token has no key."""
class SignatureRequired(ArqonError, reason="signature-required", entry=(47, 403, "reply", "never-retry", 0, "Signature required: {detail}")): """403: Signature required: …."""
class OriginNotAllowed(ArqonError, reason="origin-not-allowed", entry=(48, 403, "http", "never-retry", 0, "Origin not allowed: {detail}")): """403: Origin not allowed: …."""
class RoleForbidden(ArqonError, reason="role-forbidden", entry=(49, 403, "http", "never-retry", 0, "Role forbidden: {detail}")): """403: Role forbidden: …."""
class CallRejected(ArqonError, reason="call-rejected", entry=(196, 403, "reply", "never-retry", 0, "Call rejected: {detail}")): """403: Call rejected: …."""
class PolicyFault(ArqonError, reason="policy-fault", entry=(51, 503, "reply", "back-off", 0, "Message blocked by policy{detail}")): """503: Message blocked by policy…."""
class PolicyLoading(ArqonError, reason="policy-loading", entry=(161, 503, "reply", "back-off", 0, "The policies are being loaded{detail}")): """503: The policies are being loaded…."""
class PolicyChainFuel(ArqonError, reason="policy-chain-fuel", entry=(162, 503, "reply", "back-off", 0, "The policies of the message cost too much{detail}")): """503: The policies of the message cost too much…."""
class HostNotAllowed(ArqonError, reason="host-not-allowed", entry=(163, 403, "http", "never-retry", 0, "Host not allowed: {detail}")): """403: Host not allowed: …."""
class Banned(ArqonError, reason="banned", entry=(52, 403, "close", "never-retry", 4403, "You are banned from this tenant{detail}")): """403: You are banned from this tenant…."""
class Disconnected(ArqonError, reason="disconnected", entry=(140, 403, "close", "never-retry", 1008, "Disconnected: {detail}")): """403: Disconnected: …."""
class RoomBanned(ArqonError, reason="room-banned", entry=(53, 403, "reply", "never-retry", 0, "You are banned from room {detail}")): """403: You are banned from room …."""
class CommandForbidden(ArqonError, reason="command-forbidden", entry=(54, 403, "reply", "never-retry", 0, "Command forbidden: {detail}")): """403: Command forbidden: …."""
class PresenceDisabled(ArqonError, reason="presence-disabled", entry=(55, 403, "reply", "never-retry", 0, "Presence disabled: {detail}")): """403: Presence disabled: …."""
class NotSubscribed(ArqonError, reason="not-subscribed", entry=(61, 404, "reply", "never-retry", 0, "Not subscribed: {detail}")): """404: Not subscribed: …."""
class NotAcceptable(ArqonError, reason="not-acceptable", entry=(181, 406, "http", "never-retry", 0, "Not acceptable: {detail}")): """406: Not acceptable: …."""
class TicketInvalid(ArqonError, reason="ticket-invalid", entry=(182, 401, "http", "never-retry", 0, "Ticket invalid: {detail}")): """401: Ticket invalid: …."""
class Locked(ArqonError, reason="locked", entry=(72, 409, "reply", "back-off", 0, "The room is locked by {detail}")): """409: The room is locked by …."""
class FenceMismatch(ArqonError, reason="fence-mismatch", entry=(73, 409, "reply", "never-retry", 0, "Fence mismatch: {detail}")): """409: Fence mismatch: …."""
class HeartbeatLost(ArqonError, reason="heartbeat-lost", entry=(74, 408, "close", "back-off", 4408, "Heartbeat lost: {detail}")): """408: Heartbeat lost: …."""
class TooLarge(ArqonError, reason="too-large", entry=(80, 413, "reply", "never-retry", 0, "Too large: {detail}")): """413: Too large: …."""
class FrameTooLarge(ArqonError, reason="frame-too-large", entry=(83, 413, "close", "never-retry", 4413, "Frame too large: {detail}")): """413: Frame too large: …."""
class TooManyRooms(ArqonError, reason="too-many-rooms", entry=(91, 429, "reply", "never-retry", 0, "Too many rooms: {detail}")): """429: Too many rooms: …."""
class TooManyFilters(ArqonError, reason="too-many-filters", entry=(191, 429, "reply", "never-retry", 0, "Too many filters: {detail}")): """429: Too many filters: …."""
class TooManyConnections(ArqonError, reason="too-many-connections", entry=(92, 429, "http", "back-off", 0, "Too many connections: {detail}")): """429: Too many connections: …."""
class TooManyPending(ArqonError, reason="too-many-pending", entry=(93, 429, "reply", "back-off", 0, "Too many pending: {detail}")): """429: Too many pending: …."""
class RoomLimit(ArqonError, reason="room-limit", entry=(96, 429, "reply", "back-off", 0, "Room limit: {detail}")): """429: Room limit: …."""
class RoomBytesLimit(ArqonError, reason="room-bytes-limit", entry=(171, 429, "reply", "never-retry", 0, "The tenant's rooms may not take more than {detail}")): """429: The tenant's rooms may not take more than …."""
class MemberLimit(ArqonError, reason="member-limit", entry=(97, 429, "reply", "back-off", 0, "Member limit: {detail}")): """429: Member limit: …."""
class BanLimit(ArqonError, reason="ban-limit", entry=(98, 429, "reply", "never-retry", 0, "Ban limit: {detail}")): """429: Ban limit: …."""
class TenantQuota(ArqonError, reason="tenant-quota", entry=(99, 429, "reply", "back-off", 0, "The tenant's quota of {detail} is used up")): """429: The tenant's quota of … is used up."""
class BudgetExhausted(ArqonError, reason="budget-exhausted", entry=(172, 429, "reply", "never-retry", 0, "Budget exhausted: {detail}")): """429: Budget exhausted: …."""
class RevocationLimit(ArqonError, reason="revocation-limit", entry=(138, 429, "http", "back-off", 0, "Revocation limit: {detail}")): """429: Revocation limit: …."""
class SlowConsumer(ArqonError, reason="slow-consumer", entry=(94, 429, "close", "back-off", 4429, "Slow consumer")): """429: Slow consumer."""
class Flooding(ArqonError, reason="flooding", entry=(87, 429, "close", "back-off", 4429, "Flooding: {detail}")): """429: Flooding: …."""
class TooManyProtocolErrors(ArqonError, reason="too-many-protocol-errors", entry=(95, 429, "close", "never-retry", 1008, "Too many protocol errors")): """429: Too many protocol errors."""
class BrainUnavailable(ArqonError, reason="brain-unavailable", entry=(102, 503, "reply", "other-node", 0, "Brain unavailable")): """503: Brain unavailable."""
class KeysUnavailable(ArqonError, reason="keys-unavailable", entry=(103, 503, "http", "other-node", 0, "Keys unavailable")): """503: Keys unavailable."""
class Draining(ArqonError, reason="draining", entry=(104, 503, "reply", "other-node", 0, "This node is shutting down")): """503: This node is shutting down."""
class PresenceUnavailable(ArqonError, reason="presence-unavailable", entry=(105, 503, "reply", "back-off", 0, "Presence unavailable: {detail}")): """503: Presence unavailable: …."""
class AtCapacity(ArqonError, reason="at-capacity", entry=(106, 503, "http", "other-node", 0, "At capacity: {detail}")): """503: At capacity: …."""
class SchemaUnavailable(ArqonError, reason="schema-unavailable", entry=(107, 503, "reply", "back-off", 0, "Schema unavailable: {detail}")): """503: Schema unavailable: …."""
class IncompatibleVersion(ArqonError, reason="incompatible-version", entry=(110, 503, "reply", "back-off", 0, "Incompatible version: {detail}")): """503: Incompatible version: …."""
class LogUnavailable(ArqonError, reason="log-unavailable", entry=(108, 503, "reply", "back-off", 0, "Log unavailable: {detail}")): """503: Log unavailable: …."""
class Admission(ArqonError, reason="admission", entry=(109, 503, "http", "other-node", 0, "Admission: {detail}")): """503: Admission: …."""
class ProcessUnavailable(ArqonError, reason="process-unavailable", entry=(114, 503, "http", "back-off", 0, "Process unavailable: {detail}")): """503: Process unavailable: …."""
class Unreachable(ArqonError, reason="unreachable", entry=(120, 503, "reply", "back-off", 0, "Unreachable: {detail}")): """503: Unreachable: …."""
class ConnectionLost(ArqonError, reason="connection-lost", entry=(121, 503, "reply", "back-off", 0, "Connection lost: {detail}")): """503: Connection lost: …."""
class ConnectionClosed(ArqonError, reason="connection-closed", entry=(122, 400, "reply", "never-retry", 0, "Connection closed: {detail}")): """400: Connection closed: …."""
class AnswerTimeout(ArqonError, reason="answer-timeout", entry=(123, 408, "reply", "back-off", 0, "No answer within {detail} ms")): """408: No answer within … ms."""
class SigningFailed(ArqonError, reason="signing-failed", entry=(155, 400, "reply", "never-retry", 0, "Signing failed: {detail}")): """400: Signing failed: …."""
class HandlerFailed(ArqonError, reason="handler-failed", entry=(156, 400, "reply", "never-retry", 0, "Handler failed: {detail}")): """400: Handler failed: …."""
class AuditUnavailable(ArqonError, reason="audit-unavailable", entry=(170, 503, "http", "other-node", 0, "Audit unavailable: {detail}")): """503: Audit unavailable: …."""
class InvalidPolicy(ArqonError, reason="invalid-policy", entry=(130, 400, "http", "never-retry", 0, "Invalid policy: {detail}")): """400: Invalid policy: …."""
class PolicyUnknown(ArqonError, reason="policy-unknown", entry=(131, 404, "http", "never-retry", 0, "Policy unknown: {detail}")): """404: Policy unknown: …."""
class PolicyConflict(ArqonError, reason="policy-conflict", entry=(132, 409, "http", "back-off", 0, "Policy conflict: {detail}")): """409: Policy conflict: …."""
class InvalidSchema(ArqonError, reason="invalid-schema", entry=(133, 400, "http", "never-retry", 0, "Invalid schema: {detail}")): """400: Invalid schema: …."""
class SchemaUnknown(ArqonError, reason="schema-unknown", entry=(134, 404, "http", "never-retry", 0, "Schema unknown: {detail}")): """404: Schema unknown: …."""
class SchemaIncompatible(ArqonError, reason="schema-incompatible", entry=(135, 409, "http", "never-retry", 0, "Schema incompatible: {detail}")): """409: Schema incompatible: …."""
class SettingsConflict(ArqonError, reason="settings-conflict", entry=(136, 409, "http", "back-off", 0, "Settings conflict: {detail}")): """409: Settings conflict: …."""
class InvalidSettings(ArqonError, reason="invalid-settings", entry=(137, 400, "http", "never-retry", 0, "Invalid settings: {detail}")): """400: Invalid settings: …."""
class GrowingUnknown(ArqonError, reason="growing-unknown", entry=(143, 404, "reply", "never-retry", 0, "Growing unknown: {detail}")): """404: Growing unknown: …."""
class GrowingConflict(ArqonError, reason="growing-conflict", entry=(139, 409, "reply", "never-retry", 0, "Growing conflict: {detail}")): """409: Growing conflict: …."""
class GrowingEnded(ArqonError, reason="growing-ended", entry=(144, 409, "reply", "never-retry", 0, "Growing ended: {detail}")): """409: Growing ended: …."""
class GrowingLimit(ArqonError, reason="growing-limit", entry=(141, 429, "reply", "back-off", 0, "Growing limit: {detail}")): """429: Growing limit: …."""
class GrowingForbidden(ArqonError, reason="growing-forbidden", entry=(142, 403, "reply", "never-retry", 0, "Growing forbidden: {detail}")): """403: Growing forbidden: …."""

CLOSES: Final[dict[int, CloseEntry]] = {
    1000: CloseEntry("normal", False, "none"),
    1001: CloseEntry("going-away", True, "other-node"),
    1008: CloseEntry("policy-violation", False, "never-retry"),
    1009: CloseEntry("message-too-big", False, "never-retry"),
    1012: CloseEntry("service-restart", True, "other-node"),
    4401: CloseEntry("token-expired", True, "refresh-token"),
    4403: CloseEntry("banned", False, "never-retry"),
    4408: CloseEntry("heartbeat-lost", True, "back-off"),
    4413: CloseEntry("frame-too-large", False, "never-retry"),
    4429: CloseEntry("too-slow-or-too-fast", True, "back-off"),
}
