"""One exception per reason. Made from proto/errors.json by generate.py: do not edit."""

from arqon.errors import ArqonError

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

class MalformedFrame(ArqonError, reason="malformed-frame"): """400: Malformed frame: …."""
class UnknownOpcode(ArqonError, reason="unknown-opcode"): """400: Unknown opcode: …."""
class RepeatedField(ArqonError, reason="repeated-field"): """400: Repeated field: …."""
class UnknownField(ArqonError, reason="unknown-field"): """400: Unknown field: …."""
class PayloadCount(ArqonError, reason="payload-count"): """400: Payload count: …."""
class InvalidRoom(ArqonError, reason="invalid-room"): """400: Invalid room: …."""
class InvalidField(ArqonError, reason="invalid-field"): """400: Invalid field: …."""
class TooManyHeaders(ArqonError, reason="too-many-headers"): """400: Too many headers: …."""
class NotDurable(ArqonError, reason="not-durable"): """400: Not durable: …."""
class InvalidFilter(ArqonError, reason="invalid-filter"): """400: Invalid filter: …."""
class InvalidCommand(ArqonError, reason="invalid-command"): """400: Invalid command: …."""
class UnsupportedSubprotocol(ArqonError, reason="unsupported-subprotocol"): """400: Unsupported subprotocol: …."""
class NotAWebsocket(ArqonError, reason="not-a-websocket"): """400: Not a websocket: …."""
class MalformedBody(ArqonError, reason="malformed-body"): """400: Malformed body: …."""
class SchemaViolation(ArqonError, reason="schema-violation"): """400: Schema violation: …."""
class TokenMissing(ArqonError, reason="token-missing"): """401: Token missing."""
class TokenMalformed(ArqonError, reason="token-malformed"): """401: Token malformed: …."""
class TokenTooLarge(ArqonError, reason="token-too-large"): """401: Token too large: …."""
class TokenAlgorithm(ArqonError, reason="token-algorithm"): """401: Token algorithm: …."""
class TokenIssuer(ArqonError, reason="token-issuer"): """401: Token issuer: …."""
class TokenAudience(ArqonError, reason="token-audience"): """401: Token audience: …."""
class TokenUnknownKey(ArqonError, reason="token-unknown-key"): """401: Token unknown key: …."""
class TokenSignature(ArqonError, reason="token-signature"): """401: Token signature: …."""
class TokenExpired(ArqonError, reason="token-expired"): """401: Token expired."""
class TokenNotYetValid(ArqonError, reason="token-not-yet-valid"): """401: Token not yet valid."""
class TokenClaim(ArqonError, reason="token-claim"): """401: Token claim: …."""
class TokenScope(ArqonError, reason="token-scope"): """401: Token scope: …."""
class RefreshMismatch(ArqonError, reason="refresh-mismatch"): """401: Refresh mismatch: …."""
class RefreshRefused(ArqonError, reason="refresh-refused"): """401: Refresh refused: …."""
class TokenRevoked(ArqonError, reason="token-revoked"): """401: The token was revoked…."""
class TenantMismatch(ArqonError, reason="tenant-mismatch"): """403: Tenant mismatch: …."""
class NotGranted(ArqonError, reason="not-granted"): """403: Not granted: …."""
class ReservedType(ArqonError, reason="reserved-type"): """403: Reserved type: …."""
class SignalForbidden(ArqonError, reason="signal-forbidden"): """403: Signal forbidden: …."""
class ReservedHeader(ArqonError, reason="reserved-header"): """403: Reserved header: …."""
class SignatureInvalid(ArqonError, reason="signature-invalid"): """403: Signature invalid."""
class SignatureNoKey(ArqonError, reason="signature-no-key"): """403: The message is signed, its token has no key."""
class SignatureRequired(ArqonError, reason="signature-required"): """403: Signature required: …."""
class OriginNotAllowed(ArqonError, reason="origin-not-allowed"): """403: Origin not allowed: …."""
class RoleForbidden(ArqonError, reason="role-forbidden"): """403: Role forbidden: …."""
class PolicyRejected(ArqonError, reason="policy-rejected"): """403: Message blocked by policy…."""
class CallRejected(ArqonError, reason="call-rejected"): """403: Call rejected: …."""
class PolicyFault(ArqonError, reason="policy-fault"): """503: Message blocked by policy…."""
class PolicyLoading(ArqonError, reason="policy-loading"): """503: The policies are being loaded…."""
class PolicyChainFuel(ArqonError, reason="policy-chain-fuel"): """503: The policies of the message cost too much…."""
class HostNotAllowed(ArqonError, reason="host-not-allowed"): """403: Host not allowed: …."""
class Banned(ArqonError, reason="banned"): """403: You are banned from this tenant…."""
class Disconnected(ArqonError, reason="disconnected"): """403: Disconnected: …."""
class RoomBanned(ArqonError, reason="room-banned"): """403: You are banned from room …."""
class CommandForbidden(ArqonError, reason="command-forbidden"): """403: Command forbidden: …."""
class PresenceDisabled(ArqonError, reason="presence-disabled"): """403: Presence disabled: …."""
class NotFound(ArqonError, reason="not-found"): """404: Not found: …."""
class NotSubscribed(ArqonError, reason="not-subscribed"): """404: Not subscribed: …."""
class MethodNotAllowed(ArqonError, reason="method-not-allowed"): """405: Method not allowed: …."""
class NotAcceptable(ArqonError, reason="not-acceptable"): """406: Not acceptable: …."""
class TicketInvalid(ArqonError, reason="ticket-invalid"): """401: Ticket invalid: …."""
class CommandTimeout(ArqonError, reason="command-timeout"): """408: No answer to the command in …."""
class VersionConflict(ArqonError, reason="version-conflict"): """409: The room is at version …."""
class Locked(ArqonError, reason="locked"): """409: The room is locked by …."""
class FenceMismatch(ArqonError, reason="fence-mismatch"): """409: Fence mismatch: …."""
class HeartbeatLost(ArqonError, reason="heartbeat-lost"): """408: Heartbeat lost: …."""
class TooLarge(ArqonError, reason="too-large"): """413: Too large: …."""
class FrameTooLarge(ArqonError, reason="frame-too-large"): """413: Frame too large: …."""
class MessageTooLarge(ArqonError, reason="message-too-large"): """413: Message too large: …."""
class UnsupportedMediaType(ArqonError, reason="unsupported-media-type"): """415: Unsupported media type: …."""
class RateLimited(ArqonError, reason="rate-limited"): """429: Rate limited: …."""
class TooManyRooms(ArqonError, reason="too-many-rooms"): """429: Too many rooms: …."""
class TooManyFilters(ArqonError, reason="too-many-filters"): """429: Too many filters: …."""
class TooManyConnections(ArqonError, reason="too-many-connections"): """429: Too many connections: …."""
class TooManyPending(ArqonError, reason="too-many-pending"): """429: Too many pending: …."""
class RoomLimit(ArqonError, reason="room-limit"): """429: Room limit: …."""
class RoomBytesLimit(ArqonError, reason="room-bytes-limit"): """429: The tenant's rooms may not take more than …."""
class MemberLimit(ArqonError, reason="member-limit"): """429: Member limit: …."""
class BanLimit(ArqonError, reason="ban-limit"): """429: Ban limit: …."""
class TenantQuota(ArqonError, reason="tenant-quota"): """429: The tenant's quota of … is used up."""
class BudgetExhausted(ArqonError, reason="budget-exhausted"): """429: Budget exhausted: …."""
class RevocationLimit(ArqonError, reason="revocation-limit"): """429: Revocation limit: …."""
class SlowConsumer(ArqonError, reason="slow-consumer"): """429: Slow consumer."""
class Flooding(ArqonError, reason="flooding"): """429: Flooding: …."""
class TooManyProtocolErrors(ArqonError, reason="too-many-protocol-errors"): """429: Too many protocol errors."""
class Internal(ArqonError, reason="internal"): """500: Internal error."""
class SpineUnavailable(ArqonError, reason="spine-unavailable"): """503: Spine unavailable: …."""
class BrainUnavailable(ArqonError, reason="brain-unavailable"): """503: Brain unavailable."""
class KeysUnavailable(ArqonError, reason="keys-unavailable"): """503: Keys unavailable."""
class Draining(ArqonError, reason="draining"): """503: This node is shutting down."""
class PresenceUnavailable(ArqonError, reason="presence-unavailable"): """503: Presence unavailable: …."""
class AtCapacity(ArqonError, reason="at-capacity"): """503: At capacity: …."""
class SchemaUnavailable(ArqonError, reason="schema-unavailable"): """503: Schema unavailable: …."""
class IncompatibleVersion(ArqonError, reason="incompatible-version"): """503: Incompatible version: …."""
class LogUnavailable(ArqonError, reason="log-unavailable"): """503: Log unavailable: …."""
class Admission(ArqonError, reason="admission"): """503: Admission: …."""
class ProcessUnavailable(ArqonError, reason="process-unavailable"): """503: Process unavailable: …."""
class Unreachable(ArqonError, reason="unreachable"): """503: Unreachable: …."""
class ConnectionLost(ArqonError, reason="connection-lost"): """503: Connection lost: …."""
class ConnectionClosed(ArqonError, reason="connection-closed"): """400: Connection closed: …."""
class AnswerTimeout(ArqonError, reason="answer-timeout"): """408: No answer within … ms."""
class SigningFailed(ArqonError, reason="signing-failed"): """400: Signing failed: …."""
class HandlerFailed(ArqonError, reason="handler-failed"): """400: Handler failed: …."""
class AuditUnavailable(ArqonError, reason="audit-unavailable"): """503: Audit unavailable: …."""
class InvalidPolicy(ArqonError, reason="invalid-policy"): """400: Invalid policy: …."""
class PolicyUnknown(ArqonError, reason="policy-unknown"): """404: Policy unknown: …."""
class PolicyConflict(ArqonError, reason="policy-conflict"): """409: Policy conflict: …."""
class InvalidSchema(ArqonError, reason="invalid-schema"): """400: Invalid schema: …."""
class SchemaUnknown(ArqonError, reason="schema-unknown"): """404: Schema unknown: …."""
class SchemaIncompatible(ArqonError, reason="schema-incompatible"): """409: Schema incompatible: …."""
class SettingsConflict(ArqonError, reason="settings-conflict"): """409: Settings conflict: …."""
class InvalidSettings(ArqonError, reason="invalid-settings"): """400: Invalid settings: …."""
class GrowingUnknown(ArqonError, reason="growing-unknown"): """404: Growing unknown: …."""
class GrowingConflict(ArqonError, reason="growing-conflict"): """409: Growing conflict: …."""
class GrowingEnded(ArqonError, reason="growing-ended"): """409: Growing ended: …."""
class GrowingLimit(ArqonError, reason="growing-limit"): """429: Growing limit: …."""
class GrowingForbidden(ArqonError, reason="growing-forbidden"): """403: Growing forbidden: …."""
