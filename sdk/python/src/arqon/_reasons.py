"""One exception per reason. Made from proto/errors.json by generate.py: do not edit."""

from arqon.errors import ArqonError

__all__ = [
    "Admission",
    "AnswerTimeout",
    "AtCapacity",
    "BanLimit",
    "Banned",
    "BrainUnavailable",
    "CommandForbidden",
    "CommandTimeout",
    "ConnectionClosed",
    "ConnectionLost",
    "Disconnected",
    "Draining",
    "FenceMismatch",
    "Flooding",
    "FrameTooLarge",
    "HeartbeatLost",
    "Internal",
    "InvalidCommand",
    "InvalidField",
    "InvalidPolicy",
    "InvalidRoom",
    "InvalidSchema",
    "InvalidSettings",
    "KeysUnavailable",
    "Locked",
    "LogUnavailable",
    "MalformedBody",
    "MalformedFrame",
    "MemberLimit",
    "MessageTooLarge",
    "MethodNotAllowed",
    "NotAWebsocket",
    "NotDurable",
    "NotFound",
    "NotGranted",
    "NotSubscribed",
    "OriginNotAllowed",
    "PayloadCount",
    "PolicyConflict",
    "PolicyFault",
    "PolicyRejected",
    "PolicyUnknown",
    "PresenceDisabled",
    "PresenceUnavailable",
    "ProcessUnavailable",
    "RateLimited",
    "RefreshMismatch",
    "RefreshRefused",
    "RepeatedField",
    "ReservedHeader",
    "ReservedType",
    "RevocationLimit",
    "RoleForbidden",
    "RoomBanned",
    "RoomLimit",
    "SchemaIncompatible",
    "SchemaUnavailable",
    "SchemaUnknown",
    "SchemaViolation",
    "SettingsConflict",
    "SignalForbidden",
    "SignatureInvalid",
    "SignatureNoKey",
    "SignatureRequired",
    "SlowConsumer",
    "SpineUnavailable",
    "TenantMismatch",
    "TenantQuota",
    "TokenAlgorithm",
    "TokenAudience",
    "TokenClaim",
    "TokenExpired",
    "TokenIssuer",
    "TokenMalformed",
    "TokenMissing",
    "TokenNotYetValid",
    "TokenRevoked",
    "TokenScope",
    "TokenSignature",
    "TokenTooLarge",
    "TokenUnknownKey",
    "TooLarge",
    "TooManyConnections",
    "TooManyHeaders",
    "TooManyPending",
    "TooManyProtocolErrors",
    "TooManyRooms",
    "UnknownField",
    "UnknownOpcode",
    "Unreachable",
    "UnsupportedMediaType",
    "UnsupportedSubprotocol",
    "VersionConflict",
]


class MalformedFrame(ArqonError):
    """400: Malformed frame: …."""

    reason = "malformed-frame"


class UnknownOpcode(ArqonError):
    """400: Unknown opcode …."""

    reason = "unknown-opcode"


class RepeatedField(ArqonError):
    """400: Repeated field: …."""

    reason = "repeated-field"


class UnknownField(ArqonError):
    """400: Unknown field: …."""

    reason = "unknown-field"


class PayloadCount(ArqonError):
    """400: An envelope carries exactly one payload: …."""

    reason = "payload-count"


class InvalidRoom(ArqonError):
    """400: Invalid room: …."""

    reason = "invalid-room"


class InvalidField(ArqonError):
    """400: Invalid field: …."""

    reason = "invalid-field"


class TooManyHeaders(ArqonError):
    """400: Too many headers: …."""

    reason = "too-many-headers"


class NotDurable(ArqonError):
    """400: Room … is not durable: it has no positions."""

    reason = "not-durable"


class InvalidCommand(ArqonError):
    """400: Invalid command: …."""

    reason = "invalid-command"


class UnsupportedSubprotocol(ArqonError):
    """400: None of the offered subprotocols is supported: …."""

    reason = "unsupported-subprotocol"


class NotAWebsocket(ArqonError):
    """400: This path is a WebSocket endpoint: …."""

    reason = "not-a-websocket"


class MalformedBody(ArqonError):
    """400: Malformed body: …."""

    reason = "malformed-body"


class SchemaViolation(ArqonError):
    """400: Schema violation: …."""

    reason = "schema-violation"


class TokenMissing(ArqonError):
    """401: No token."""

    reason = "token-missing"


class TokenMalformed(ArqonError):
    """401: The token is not a signed JWT: …."""

    reason = "token-malformed"


class TokenTooLarge(ArqonError):
    """401: The token is larger than … bytes."""

    reason = "token-too-large"


class TokenAlgorithm(ArqonError):
    """401: The token's algorithm is not accepted: …."""

    reason = "token-algorithm"


class TokenIssuer(ArqonError):
    """401: The token's issuer is not trusted."""

    reason = "token-issuer"


class TokenAudience(ArqonError):
    """401: The token is for another audience."""

    reason = "token-audience"


class TokenUnknownKey(ArqonError):
    """401: No key of the issuer fits the token's `kid`."""

    reason = "token-unknown-key"


class TokenSignature(ArqonError):
    """401: The token's signature does not verify."""

    reason = "token-signature"


class TokenExpired(ArqonError):
    """401: The token has expired."""

    reason = "token-expired"


class TokenNotYetValid(ArqonError):
    """401: The token is not valid yet."""

    reason = "token-not-yet-valid"


class TokenClaim(ArqonError):
    """401: A required claim is missing or wrong: …."""

    reason = "token-claim"


class TokenScope(ArqonError):
    """401: The issuer may not vouch for this tenant or role: …."""

    reason = "token-scope"


class RefreshMismatch(ArqonError):
    """401: The new token is for another subject or tenant."""

    reason = "refresh-mismatch"


class RefreshRefused(ArqonError):
    """401: The new token was refused: …."""

    reason = "refresh-refused"


class TokenRevoked(ArqonError):
    """401: The token was revoked…."""

    reason = "token-revoked"


class TenantMismatch(ArqonError):
    """403: The envelope names another tenant."""

    reason = "tenant-mismatch"


class NotGranted(ArqonError):
    """403: The token does not grant …."""

    reason = "not-granted"


class ReservedType(ArqonError):
    """403: Reserved event type: …."""

    reason = "reserved-type"


class SignalForbidden(ArqonError):
    """403: A client with role user may not send a SystemSignal."""

    reason = "signal-forbidden"


class ReservedHeader(ArqonError):
    """403: Reserved header: …."""

    reason = "reserved-header"


class SignatureInvalid(ArqonError):
    """403: The signature does not verify."""

    reason = "signature-invalid"


class SignatureNoKey(ArqonError):
    """403: The message is signed but the token carries no key."""

    reason = "signature-no-key"


class SignatureRequired(ArqonError):
    """403: Messages to room … must be signed."""

    reason = "signature-required"


class OriginNotAllowed(ArqonError):
    """403: Origin … is not allowed."""

    reason = "origin-not-allowed"


class RoleForbidden(ArqonError):
    """403: This needs role …."""

    reason = "role-forbidden"


class PolicyRejected(ArqonError):
    """403: Message blocked by policy…."""

    reason = "policy-rejected"


class PolicyFault(ArqonError):
    """503: Message blocked by policy…."""

    reason = "policy-fault"


class Banned(ArqonError):
    """403: You are banned from this tenant…."""

    reason = "banned"


class Disconnected(ArqonError):
    """403: An operator ended the connection."""

    reason = "disconnected"


class RoomBanned(ArqonError):
    """403: You are banned from room …."""

    reason = "room-banned"


class CommandForbidden(ArqonError):
    """403: The role does not allow …."""

    reason = "command-forbidden"


class PresenceDisabled(ArqonError):
    """403: Room … has no presence."""

    reason = "presence-disabled"


class NotFound(ArqonError):
    """404: Not found: …."""

    reason = "not-found"


class NotSubscribed(ArqonError):
    """404: Not subscribed to …."""

    reason = "not-subscribed"


class MethodNotAllowed(ArqonError):
    """405: Method not allowed: …."""

    reason = "method-not-allowed"


class CommandTimeout(ArqonError):
    """408: The Brain did not answer in … ms."""

    reason = "command-timeout"


class VersionConflict(ArqonError):
    """409: The room is at version …."""

    reason = "version-conflict"


class Locked(ArqonError):
    """409: The room is locked by …."""

    reason = "locked"


class FenceMismatch(ArqonError):
    """409: The fence does not hold: …."""

    reason = "fence-mismatch"


class HeartbeatLost(ArqonError):
    """408: No answer to a PING for … ms."""

    reason = "heartbeat-lost"


class TooLarge(ArqonError):
    """413: Too large: …."""

    reason = "too-large"


class FrameTooLarge(ArqonError):
    """413: Far too large: …."""

    reason = "frame-too-large"


class MessageTooLarge(ArqonError):
    """413: The message is too large: …."""

    reason = "message-too-large"


class UnsupportedMediaType(ArqonError):
    """415: Unsupported content type: …."""

    reason = "unsupported-media-type"


class RateLimited(ArqonError):
    """429: Too fast: …."""

    reason = "rate-limited"


class TooManyRooms(ArqonError):
    """429: This connection has reached … rooms."""

    reason = "too-many-rooms"


class TooManyConnections(ArqonError):
    """429: Too many connections: …."""

    reason = "too-many-connections"


class TooManyPending(ArqonError):
    """429: Too many operations in flight: …."""

    reason = "too-many-pending"


class RoomLimit(ArqonError):
    """429: The tenant has reached … rooms."""

    reason = "room-limit"


class MemberLimit(ArqonError):
    """429: Presence is full: …."""

    reason = "member-limit"


class BanLimit(ArqonError):
    """429: The tenant has reached … bans."""

    reason = "ban-limit"


class TenantQuota(ArqonError):
    """429: The tenant's quota of … is used up."""

    reason = "tenant-quota"


class RevocationLimit(ArqonError):
    """429: No further revocation can be held: at most …."""

    reason = "revocation-limit"


class SlowConsumer(ArqonError):
    """429: The connection reads too slowly."""

    reason = "slow-consumer"


class Flooding(ArqonError):
    """429: Too fast for too long: … more operations refused than taken, without a pause."""

    reason = "flooding"


class TooManyProtocolErrors(ArqonError):
    """429: Too many protocol errors."""

    reason = "too-many-protocol-errors"


class Internal(ArqonError):
    """500: Internal error."""

    reason = "internal"


class SpineUnavailable(ArqonError):
    """503: The Spine is not available: …."""

    reason = "spine-unavailable"


class BrainUnavailable(ArqonError):
    """503: No Brain answers commands."""

    reason = "brain-unavailable"


class KeysUnavailable(ArqonError):
    """503: The issuer's keys cannot be fetched."""

    reason = "keys-unavailable"


class Draining(ArqonError):
    """503: This node is shutting down."""

    reason = "draining"


class PresenceUnavailable(ArqonError):
    """503: Presence is not available: …."""

    reason = "presence-unavailable"


class AtCapacity(ArqonError):
    """503: This node has reached its … connections."""

    reason = "at-capacity"


class SchemaUnavailable(ArqonError):
    """503: The schema of this subject is not available: …."""

    reason = "schema-unavailable"


class LogUnavailable(ArqonError):
    """503: The log of this room is not available: …."""

    reason = "log-unavailable"


class Admission(ArqonError):
    """503: This node lets nobody in for a moment: …."""

    reason = "admission"


class ProcessUnavailable(ArqonError):
    """503: No process of this node answers: …."""

    reason = "process-unavailable"


class Unreachable(ArqonError):
    """503: Cannot reach …."""

    reason = "unreachable"


class ConnectionLost(ArqonError):
    """503: The connection was lost: …."""

    reason = "connection-lost"


class ConnectionClosed(ArqonError):
    """400: The connection is closed…."""

    reason = "connection-closed"


class AnswerTimeout(ArqonError):
    """408: No answer within … ms."""

    reason = "answer-timeout"


class InvalidPolicy(ArqonError):
    """400: Not taken as a policy: …."""

    reason = "invalid-policy"


class PolicyUnknown(ArqonError):
    """404: No such policy: …."""

    reason = "policy-unknown"


class PolicyConflict(ArqonError):
    """409: The tenant's policies cannot be changed now: …."""

    reason = "policy-conflict"


class InvalidSchema(ArqonError):
    """400: Not a schema: …."""

    reason = "invalid-schema"


class SchemaUnknown(ArqonError):
    """404: There is no schema …."""

    reason = "schema-unknown"


class SchemaIncompatible(ArqonError):
    """409: The schema is not compatible: …."""

    reason = "schema-incompatible"


class SettingsConflict(ArqonError):
    """409: The tenant's settings were not changed: …."""

    reason = "settings-conflict"


class InvalidSettings(ArqonError):
    """400: Not valid: …."""

    reason = "invalid-settings"
