"""Network interfaces, configuration, media, character sets and security (PS3.2 sections A.4.3 to A.7)."""

from __future__ import annotations

from node.conformance.markdown import prose, section, table
from node.delivery.destinations import CommitmentSettings
from node.settings import CompletionSettings, DeliverySettings, ReceiverSettings
from node.tls import CIPHERS, MINIMUM_VERSION, PROFILE


def network_interfaces() -> str:
    """Write section 4.3."""
    return section(
        "### 4.3 Network interfaces",
        prose(
            "TCP/IP as the operating system offers it, IPv4 and IPv6. DICOM Upper Layer (PS3.8) and, for DICOMweb "
            "destinations, HTTP/1.1. Additional protocols: DNS, where addresses are names. The receiver listens on "
            "loopback unless its settings say otherwise."
        ),
    )


def configuration() -> str:
    """Write section 4.4."""
    receiver = ReceiverSettings()
    return section(
        "### 4.4 Configuration",
        "#### 4.4.1 AE Title and presentation address mapping",
        table(
            ("AE", "Title", "Address", "Settings"),
            [
                (
                    "Receiver",
                    receiver.ae_title,
                    f"{receiver.host}, TCP port {receiver.port}",
                    "`receiver.ae_title`, `receiver.host`, `receiver.port`",
                ),
                ("Sender", receiver.ae_title, "any", "`receiver.ae_title`"),
                (
                    "Remote AEs",
                    "",
                    "",
                    "`destinations.NAME.ae_title`, `.host`, `.port`, or `.url`",
                ),
            ],
        ),
        prose(
            "An archive that reports on storage commitment by an association of its own must know title, host and "
            "port of the receiver."
        ),
        "#### 4.4.2 Parameters",
        _parameters(),
        "docs/configuration.md lists every setting.",
    )


def _parameters() -> str:
    delivery, commitment, completion = DeliverySettings(), CommitmentSettings(), CompletionSettings()
    return table(
        ("Parameter", "Setting", "Default"),
        [
            ("Longest silence of a peer, s", "receiver.network_timeout_s", ReceiverSettings().network_timeout_s),
            ("TCP and A-ASSOCIATE timeout, s", "delivery.connect_timeout_s", delivery.connect_timeout_s),
            ("Response timeout, s", "delivery.response_timeout_s", delivery.response_timeout_s),
            ("Retry time, s", "delivery.retry_for_s", delivery.retry_for_s),
            ("Storage commitment", "destinations.NAME.commitment.ask", commitment.ask),
            ("Study complete after a release, s", "completion.release_s", completion.release_s),
            ("Study complete after silence, s", "completion.quiet_s", completion.quiet_s),
        ],
    )


def media_characters_and_security() -> str:
    """Write sections 5 to 7."""
    return section(
        "## 5 Media interchange",
        "None.",
        "## 6 Support of character sets",
        prose(
            "Received: every one of PS3.3 section C.12.1.1.2. Sent: that of the image that the object is filed like, "
            "with the bytes of its patient, study and order attributes, whatever the set; where those are of the "
            "default repertoire alone, ISO_IR 100 where it suffices, else ISO_IR 192. A Segmentation, and each other "
            "object of one image, is filed like its image, an object of the whole study like the first, so that the "
            "objects of a study whose images have different character sets differ in theirs."
        ),
        "## 7 Security",
        "### 7.1 Security profiles",
        prose(
            f"{PROFILE} (PS3.15 section B.12), for the receiver and for each destination: TLS "
            f"{MINIMUM_VERSION.name.removeprefix('TLSv').replace('_', '.')} or later, 1.3 where both sides have it, "
            "and over DIMSE a certificate of the configured authority on both sides. The sender also checks that the "
            "certificate names the host. Over DICOMweb the node shows a certificate where one is configured. The "
            "Modified profile of section B.13 is not supported: its suites with CCM are not offered."
        ),
        prose(
            "The TCP port is that of the setting `receiver.port`, which with TLS takes no connection without. Keys and "
            "certificates are managed outside: PEM files that the settings name, read when the receiver starts and for "
            "each association of the sender; revocation is not checked. A connection whose integrity check fails is "
            "dropped, as an abort by the provider without a reason. Cipher suites of TLS 1.2; those of TLS 1.3 are "
            "OpenSSL's:"
        ),
        "\n".join(f"- {cipher}" for cipher in CIPHERS.split(":")),
        "### 7.2 Association level security",
        prose(
            "Without TLS the receiver listens on the loopback address only, unless its settings say otherwise. Peers "
            "may be limited by address (CIDR) and by calling AE Title; the called AE Title must be the node's. With "
            "TLS a calling AE Title may be bound to certificates (`receiver.peer_certificates`), by subject, subject "
            "alternative name or SHA-256. The subject is recorded with each association, in log and audit log too."
        ),
        "### 7.3 Application level security",
        prose(
            "Reports on storage commitment are taken only from the peer that was asked (4.2.1.4.3). Every step is a "
            "row of a hash-chained audit log. Logs and audit log hold no patient attribute."
        ),
    )
