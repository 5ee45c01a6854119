//! One of each error that the TLS library has.

use std::sync::Arc;

use rustls::pki_types::{ServerName, UnixTime};
use rustls::{
    AlertDescription, CertRevocationListError, CertificateError, ContentType,
    EncryptedClientHelloError, Error, ExtendedKeyPurpose, HandshakeType, InconsistentKeys,
    InvalidMessage, OtherError, PeerIncompatible, PeerMisbehaved,
};

use super::Odd;

fn other() -> OtherError {
    OtherError(Arc::new(Odd("EmptyEkuExtension".into())))
}

fn time() -> UnixTime {
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(7))
}

pub(super) fn errors() -> Vec<Error> {
    use Error as E;
    vec![
        E::InappropriateMessage {
            expect_types: vec![ContentType::Handshake],
            got_type: ContentType::ApplicationData,
        },
        E::InappropriateHandshakeMessage {
            expect_types: vec![HandshakeType::Finished],
            got_type: HandshakeType::CertificateURL,
        },
        E::InvalidEncryptedClientHello(EncryptedClientHelloError::SniRequired),
        E::InvalidMessage(InvalidMessage::MissingData("Payload")),
        E::NoCertificatesPresented,
        E::UnsupportedNameType,
        E::DecryptError,
        E::EncryptError,
        E::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
        E::PeerMisbehaved(PeerMisbehaved::InvalidKeyShare),
        E::AlertReceived(AlertDescription::HandshakeFailure),
        E::InvalidCertificate(CertificateError::UnknownIssuer),
        E::InvalidCertRevocationList(CertRevocationListError::ParseError),
        E::General("it is as it is".into()),
        E::FailedToGetCurrentTime,
        E::FailedToGetRandomBytes,
        E::HandshakeNotComplete,
        E::PeerSentOversizedRecord,
        E::NoApplicationProtocol,
        E::BadMaxFragmentSize,
        E::InconsistentKeys(InconsistentKeys::KeyMismatch),
        E::Other(other()),
    ]
}

#[expect(deprecated, reason = "the library may still say it")]
pub(super) fn certificates() -> Vec<CertificateError> {
    use CertificateError as E;
    vec![
        E::BadEncoding,
        E::Expired,
        E::ExpiredContext {
            time: time(),
            not_after: time(),
        },
        E::NotValidYet,
        E::NotValidYetContext {
            time: time(),
            not_before: time(),
        },
        E::Revoked,
        E::UnhandledCriticalExtension,
        E::UnknownIssuer,
        E::UnknownRevocationStatus,
        E::ExpiredRevocationList,
        E::ExpiredRevocationListContext {
            time: time(),
            next_update: time(),
        },
        E::BadSignature,
        E::UnsupportedSignatureAlgorithm,
        E::UnsupportedSignatureAlgorithmContext {
            signature_algorithm_id: vec![1],
            supported_algorithms: Vec::new(),
        },
        E::UnsupportedSignatureAlgorithmForPublicKeyContext {
            signature_algorithm_id: vec![1],
            public_key_algorithm_id: vec![1],
        },
        E::NotValidForName,
        E::NotValidForNameContext {
            expected: ServerName::try_from("a.example").unwrap(),
            presented: vec!["DnsName(\"b.example\")".into()],
        },
        E::InvalidPurpose,
        E::InvalidPurposeContext {
            required: ExtendedKeyPurpose::ServerAuth,
            presented: vec![ExtendedKeyPurpose::ClientAuth],
        },
        E::InvalidOcspResponse,
        E::ApplicationVerificationFailure,
        E::Other(other()),
    ]
}

#[expect(deprecated, reason = "the library may still say it")]
pub(super) fn revocations() -> Vec<CertRevocationListError> {
    use CertRevocationListError as E;
    vec![
        E::BadSignature,
        E::UnsupportedSignatureAlgorithm,
        E::UnsupportedSignatureAlgorithmContext {
            signature_algorithm_id: vec![1],
            supported_algorithms: Vec::new(),
        },
        E::UnsupportedSignatureAlgorithmForPublicKeyContext {
            signature_algorithm_id: vec![1],
            public_key_algorithm_id: vec![1],
        },
        E::InvalidCrlNumber,
        E::InvalidRevokedCertSerialNumber,
        E::IssuerInvalidForCrl,
        E::Other(other()),
        E::ParseError,
        E::UnsupportedCrlVersion,
        E::UnsupportedCriticalExtension,
        E::UnsupportedDeltaCrl,
        E::UnsupportedIndirectCrl,
        E::UnsupportedRevocationReason,
    ]
}

pub(super) fn client_hellos() -> Vec<EncryptedClientHelloError> {
    use EncryptedClientHelloError as E;
    vec![E::InvalidConfigList, E::NoCompatibleConfig, E::SniRequired]
}

pub(super) fn keys() -> Vec<InconsistentKeys> {
    vec![InconsistentKeys::KeyMismatch, InconsistentKeys::Unknown]
}

pub(super) fn messages() -> Vec<InvalidMessage> {
    use InvalidMessage as E;
    vec![
        E::CertificatePayloadTooLarge,
        E::HandshakePayloadTooLarge,
        E::InvalidCcs,
        E::InvalidContentType,
        E::InvalidCertificateStatusType,
        E::InvalidCertRequest,
        E::InvalidDhParams,
        E::InvalidEmptyPayload,
        E::InvalidKeyUpdate,
        E::InvalidServerName,
        E::MessageTooLarge,
        E::MessageTooShort,
        E::MissingData("Payload"),
        E::MissingKeyExchange,
        E::NoSignatureSchemes,
        E::TrailingData("Payload"),
        E::UnexpectedMessage("Payload"),
        E::UnknownProtocolVersion,
        E::UnsupportedCompression,
        E::UnsupportedCurveType,
        E::EmptyTicketValue,
        E::IllegalEmptyList("Payload"),
        E::IllegalEmptyValue,
        E::DuplicateExtension(7),
        E::PreSharedKeyIsNotFinalExtension,
        E::UnknownHelloRetryRequestExtension,
        E::UnknownCertificateExtension,
    ]
}

#[expect(clippy::too_many_lines, reason = "it is a list")]
pub(super) fn misbehaviours() -> Vec<PeerMisbehaved> {
    use PeerMisbehaved as E;
    vec![
        E::AttemptedDowngradeToTls12WhenTls13IsSupported,
        E::BadCertChainExtensions,
        E::CipherSuiteDifferedOnRetry,
        E::DisallowedEncryptedExtension,
        E::DuplicateClientHelloExtensions,
        E::DuplicateEncryptedExtensions,
        E::DuplicateHelloRetryRequestExtensions,
        E::DuplicateNewSessionTicketExtensions,
        E::DuplicateServerHelloExtensions,
        E::DuplicateServerNameTypes,
        E::EarlyDataAttemptedInSecondClientHello,
        E::EarlyDataExtensionWithoutResumption,
        E::EarlyDataOfferedWithVariedCipherSuite,
        E::EchAcceptanceVariedAfterRetry,
        E::HandshakeHashVariedAfterRetry,
        E::IllegalHelloRetryRequestWithEmptyCookie,
        E::IllegalHelloRetryRequestWithNoChanges,
        E::IllegalHelloRetryRequestWithOfferedGroup,
        E::IllegalHelloRetryRequestWithUnofferedCipherSuite,
        E::IllegalHelloRetryRequestWithUnofferedNamedGroup,
        E::IllegalHelloRetryRequestWithUnsupportedVersion,
        E::IllegalHelloRetryRequestWithWrongSessionId,
        E::IllegalHelloRetryRequestWithInvalidEch,
        E::IllegalMiddleboxChangeCipherSpec,
        E::IllegalTlsInnerPlaintext,
        E::IncorrectBinder,
        E::InvalidCertCompression,
        E::InvalidMaxEarlyDataSize,
        E::InvalidKeyShare,
        E::KeyEpochWithPendingFragment,
        E::KeyUpdateReceivedInQuicConnection,
        E::MessageInterleavedWithHandshakeMessage,
        E::MissingBinderInPskExtension,
        E::MissingKeyShare,
        E::MissingPskExtensionInSecondClientHello,
        E::MissingPskModesExtension,
        E::MissingQuicTransportParameters,
        E::OfferedDuplicateCertificateCompressions,
        E::OfferedDuplicateKeyShares,
        E::OfferedEarlyDataWithOldProtocolVersion,
        E::OfferedEmptyApplicationProtocol,
        E::OfferedIncorrectCompressions,
        E::PskExtensionMustBeLast,
        E::PskExtensionWithMismatchedIdsAndBinders,
        E::RefusedToFollowHelloRetryRequest,
        E::RejectedEarlyDataInterleavedWithHandshakeMessage,
        E::ResumptionAttemptedWithVariedEms,
        E::ResumptionOfferedWithVariedCipherSuite,
        E::ResumptionOfferedWithVariedEms,
        E::ResumptionOfferedWithIncompatibleCipherSuite,
        E::SelectedDifferentCipherSuiteAfterRetry,
        E::SelectedInvalidPsk,
        E::SelectedTls12UsingTls13VersionExtension,
        E::SelectedUnofferedApplicationProtocol,
        E::SelectedUnofferedCertCompression,
        E::SelectedUnofferedCipherSuite,
        E::SelectedUnofferedCompression,
        E::SelectedUnofferedKxGroup,
        E::SelectedUnofferedPsk,
        E::SelectedUnusableCipherSuiteForVersion,
        E::ServerEchoedCompatibilitySessionId,
        E::ServerHelloMustOfferUncompressedEcPoints,
        E::ServerNameDifferedOnRetry,
        E::ServerNameMustContainOneHostName,
        E::SignedKxWithWrongAlgorithm,
        E::SignedHandshakeWithUnadvertisedSigScheme,
        E::TooManyEmptyFragments,
        E::TooManyKeyUpdateRequests,
        E::TooManyRenegotiationRequests,
        E::TooManyWarningAlertsReceived,
        E::TooMuchEarlyDataReceived,
        E::UnexpectedCleartextExtension,
        E::UnsolicitedCertExtension,
        E::UnsolicitedEncryptedExtension,
        E::UnsolicitedSctList,
        E::UnsolicitedServerHelloExtension,
        E::WrongGroupForKeyShare,
        E::UnsolicitedEchExtension,
    ]
}

pub(super) fn incompatibilities() -> Vec<PeerIncompatible> {
    use PeerIncompatible as E;
    vec![
        E::EcPointsExtensionRequired,
        E::ExtendedMasterSecretExtensionRequired,
        E::IncorrectCertificateTypeExtension,
        E::KeyShareExtensionRequired,
        E::NamedGroupsExtensionRequired,
        E::NoCertificateRequestSignatureSchemesInCommon,
        E::NoCipherSuitesInCommon,
        E::NoEcPointFormatsInCommon,
        E::NoKxGroupsInCommon,
        E::NoSignatureSchemesInCommon,
        E::NullCompressionRequired,
        E::ServerDoesNotSupportTls12Or13,
        E::ServerSentHelloRetryRequestWithUnknownExtension,
        E::ServerTlsVersionIsDisabledByOurConfig,
        E::SignatureAlgorithmsExtensionRequired,
        E::SupportedVersionsExtensionRequired,
        E::Tls12NotOffered,
        E::Tls12NotOfferedOrEnabled,
        E::Tls13RequiredForQuic,
        E::UncompressedEcPointsRequired,
        E::UnsolicitedCertificateTypeExtension,
        E::ServerRejectedEncryptedClientHello(None),
    ]
}
