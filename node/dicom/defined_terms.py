"""Values of the header that may be repeated in records and results: terms that the Standard defines.

Senders write free text where the Standard has terms, and free text may name the patient. What is not here is not
repeated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class BodyPart:
    """A row of PS3.16 Table L-1: a region by its term, its codes and its meaning."""

    term: str
    """Body Part Examined (0018,0015); empty where the table has a code only."""
    codes: tuple[str, ...]
    """SCT, and SRT as it was before."""
    meaning: str

    def __str__(self) -> str:
        return self.term or self.meaning


def words(text: str) -> frozenset[str]:
    """Return the words of a text: a set of defined terms or of code values."""
    return frozenset(text.split())


MODALITIES: Final = words(
    "AR AU BDUS BI BMD CR CT DG DOC DX ECG EPS ES FID GM HC HD IO IOL IVOCT IVUS KER KO LEN LS MG MR NM OAM OCT OP OPM "
    "OPT OPV OSS OT PLAN PR PT PX REG RESP RF RG RTDOSE RTIMAGE RTPLAN RTRECORD RTSTRUCT RWV SC SEG SM SMR SR SRF TG "
    "US VA XA XC"
)
"""Modality (0008,0060), PS3.3 section C.7.3.1.1.1; SC is none, and comes often."""

VIEW_POSITIONS: Final = words("AP PA LL RL LLD RLD LLO RLO")
"""View Position (0018,5101), PS3.3 sections C.8.1.3 and C.8.11.5."""

PHOTOMETRIC_INTERPRETATIONS: Final = frozenset(
    {
        "MONOCHROME1",
        "MONOCHROME2",
        "PALETTE COLOR",
        "RGB",
        "HSV",
        "ARGB",
        "CMYK",
        "YBR_FULL",
        "YBR_FULL_422",
        "YBR_PARTIAL_422",
        "YBR_PARTIAL_420",
        "YBR_ICT",
        "YBR_RCT",
        "XYB",
    }
)
"""Photometric Interpretation (0028,0004), PS3.3 section C.7.6.3.1.2, retired ones too."""

HUMAN_CODES: Final = words("337915000 L-85003")
"""Patient Species Code Sequence (0010,2202), SCT and SRT."""

HUMAN_WORDS: Final = words(
    "human homosapiens mensch humain humano umano menneske ihminen człowiek člověk insan человек 人 人类 人間 ヒト 사람"
)
"""What Patient Species Description (0010,2201) says of people, in small letters without spaces; it is free text."""

STANDARD_SCHEMES: Final = frozenset({"SCT", "SRT", "SNM3", "DCM"})
"""Coding schemes whose codes are no text of the sender's (PS3.16 section 8)."""


def body_part_named(text: str) -> BodyPart | None:
    """Return the body part that a text names by its term or its meaning, in whatever spelling; None: no defined one."""
    letters = _letters(text)
    return _BY_NAME.get(letters) or _BY_NAME.get(letters.removesuffix("S"))


def body_part_coded(value: str, scheme: str) -> BodyPart | None:
    """Return the body part that a code names; None: not a code of the table."""
    return _BY_CODE.get(value) if scheme.upper() in STANDARD_SCHEMES else None


def _letters(text: str) -> str:
    return "".join(character for character in text.upper() if character.isalnum())


def _rows() -> Iterator[BodyPart]:
    for row in _TABLE_L_1.split("; "):
        term, sct, srt, *meaning = row.split()
        codes = tuple(code for code in (sct, srt) if code != "-")
        yield BodyPart("" if term == "-" else term, codes, " ".join(meaning) or term.capitalize())


# PS3.16 Table L-1, and CID 4 where it has more: Body Part Examined, SCT code, SRT code, meaning where it differs.
_TABLE_L_1: Final = (
    "3RDVENTRICLE 49841001 T-A1740 Third ventricle; 4THVENTRICLE 35918002 T-A1820 Fourth ventricle; ABDOMEN 818981001 "
    "-; ABDOMENPELVIS 818982008 - Abdomen and Pelvis; ABDOMINALAORTA 7832008 T-42500; ACA 60176003 T-45540 Anterior "
    "cerebral artery; ACJOINT 85856004 T-15420 Acromioclavicular joint; ADRENAL 23451007 T-B3000 Adrenal gland; "
    "AMNIOTICFLUID 77012006 T-F1320; ANKLE 70258002 T-15750 Ankle joint; ANTCARDIACV 194996006 T-48403 Anterior "
    "cardiac vein; ANTCOMMA 8012006 T-45530 Anterior communicating artery; ANTECUBITALV 128553008 T-49215 Antecubital "
    "vein; ANTSPINALA 17388009 T-45730 Anterior spinal artery; ANTTIBIALA 68053000 T-47700 Anterior tibial artery; "
    "ANUSRECTUMSIGMD 110612005 T-59490 Anus, rectum and sigmoid colon; AORTA 15825003 T-42000; AORTICARCH 57034009 "
    "T-42300; APPENDIX 66754008 T-59200; ARTERY 51114001 T-41000; ASCAORTA 54247002 T-42100 Ascending aorta; "
    "ASCENDINGCOLON 9040008 T-59420; AXILLA 91470000 T-D8104; AXILLARYA 67937003 T-47100 Axillary Artery; AXILLARYV "
    "68705008 T-49110 Axillary vein; AZYGOSVEIN 72107004 T-48340; BACK 77568009 T-D2100; BASILARA 59011009 T-45800 "
    "Basilar artery; BILEDUCT 28273000 T-60610; BILIARYTRACT 34707002 T-60600; BLADDER 89837001 T-74000; "
    "BLADDERURETHRA 110837003 T-DD123 Bladder and urethra; BRACHIALA 17137000 T-47160 Brachial artery; BRACHIALV "
    "20115005 T-49350 Brachial vein; BRAIN 12738006 T-A0100; BREAST 76752008 T-04000; BRONCHUS 955009 T-26000; BULB "
    "21479005 T-45170 Carotid bulb; BUTTOCK 46862004 T-D2600; CALCANEUS 80144004 T-12770; CALF 53840002 T-D9440 Calf "
    "of leg; CARDIOVASCSYS 113257007 T-30000 Cardiovascular system; CAROTID 69105007 T-45010 Carotid Artery; CCA "
    "32062004 T-45100 Common carotid artery; CELIACA 57850000 T-46400 Celiac artery; CEPHALICV 20699002 T-49240 "
    "Cephalic vein; CEREBELLUM 113305005 T-A6000; CEREBHEMISPHERE 372073000 T-A010F Cerebral hemisphere; CEREBRALA "
    "88556005 T-45510 Cerebral artery; CERVIX 71252005 T-83200; CFA 181347005 T-47402 Common femoral artery; CFV "
    "397363009 G-035B Common femoral vein; CHEEK 60819002 T-D1206; CHEST 816094009 -; CHESTABDOMEN 416550000 R-FAB55 "
    "Chest and Abdomen; CHESTABDPELVIS 416775004 R-FAB56 Chest, Abdomen and Pelvis; CHOROIDPLEXUS 80621003 T-A1900; "
    "CIRCLEOFWILLIS 11279006 T-45520; CLAVICLE 51299004 T-12310; COCCYX 64688005 T-11BF0; COLON 71854001 T-59300; "
    "COMILIACA 73634005 T-46710 Common iliac artery; COMILIACV 46027005 T-48920 Common iliac vein; COMMONBILEDUCT "
    "79741001 T-64500; CORNEA 28726007 T-AA200; CORONARYARTERY 41801008 T-43000; CORONARYSINUS 90219004 T-48410; "
    "CSPINE 122494005 T-11501 Cervical spine; CTSPINE 1217257000 - Cervico-thoracic spine; CULDESAC 53843000 T-D6407 "
    "Rectouterine pouch; DESCAORTA 281130003 T-D0765 Descending aorta; DESCENDINGCOLON 32622004 T-59460; DUODENUM "
    "38848004 T-58200; EAC 84301002 T-AB200 External auditory canal; EAR 117590005 T-AB001; ECA 22286001 T-45200 "
    "External carotid artery; ELBOW 16953009 T-15430 Elbow joint; ENDOARTERIAL 51114001 T-41000; ENDOCARDIAC 80891009 "
    "T-32000; ENDOESOPHAGEAL 32849002 T-56000; ENDOMETRIUM 2739003 T-83400; ENDONASAL 53342003 T-21300; "
    "ENDONASOPHARYNYX 18962004 T-23050 Endo-nasopharyngeal; ENDORECTAL 34402009 T-59600; ENDORENAL 64033007 T-71000; "
    "ENDOURETERIC 87953007 T-73000; ENDOURETHRAL 13648007 T-75000; ENDOVAGINAL 76784001 T-82000; ENDOVASCULAR "
    "59820001 T-40000; ENDOVENOUS 29092000 T-48000; ENDOVESICAL 48367006 T-74250; EPIDIDYMIS 87644002 T-95000; "
    "EPIGASTRIC 27947004 T-D4200 Epigastric region; ESOPHAGUS 32849002 T-56000; EXTILIACA 113269004 T-46910 External "
    "iliac artery; EXTILIACV 63507001 T-48930 External iliac vein; EXTJUGV 71585003 T-48160 External jugular vein; "
    "EXTREMITY 66019005 T-D0300; EYE 81745001 T-AA000; EYELID 80243003 T-AA810; FACE 89545001 T-D1200; FACIALA "
    "23074001 T-45240 Facial artery; FEMORALA 7657000 T-47400 Femoral artery; FEMORALV 83419000 T-49410 Femoral vein; "
    "FEMUR 71341001 T-12710; FIBULA 87342007 T-12750; FINGER 7569003 T-D8800; FLANK 58602004 T-D2310; FONTANEL "
    "79361005 T-15200 Fontanel of skull; FOOT 56459004 T-D9700; FOREARM 14975008 T-D8500; GALLBLADDER 28231008 "
    "T-63000; GASTRICV 110568007 T-48820 Gastric vein; GENICULARA 128559007 T-47490 Genicular artery; GESTSAC "
    "300571009 F-03FC9 Gestational sac; GLUTEAL 46862004 T-D2600 Gluteal region; GSV 60734001 T-49530 Great saphenous "
    "vein; HAND 85562004 T-D8700; HEAD 69536005 T-D1100; HEADNECK 774007 T-D1000 Head and Neck; HEART 80891009 "
    "T-32000; HEPATICA 76015000 T-46420 Hepatic artery; HEPATICV 8993003 T-48720 Hepatic vein; HIP 24136001 T-15710 "
    "Hip joint; HUMERUS 85050009 T-12410; HYPOGASTRIC 11708003 T-D4240 Hypogastric region; HYPOPHARYNX 81502006 "
    "T-55300; IAC 361078006 T-AB959 Internal Auditory Canal; ICA 86117002 T-45300 Internal carotid artery; ILEUM "
    "34516001 T-58600; ILIACA 10293006 T-46700 Iliac artery; ILIACV 244411005 T-4940E Iliac vein; ILIUM 22356005 "
    "T-12340; INFMESA 33795007 T-46520 Inferior mesenteric artery; INFVENACAVA 64131007 T-48710 Inferior vena cava; "
    "INGUINAL 26893007 T-D7000 Inguinal region; INNOMINATEA 12691009 T-46010 Innominate artery; INNOMINATEV 8887007 "
    "T-48620 Innominate vein; INTILIACA 90024005 T-46740 Internal iliac artery; INTJUGULARV 12123001 T-48170 Internal "
    "jugular vein; INTMAMMARYA 69327007 T-46200 Internal mammary artery; INTRACRANIAL 1101003 T-D1400; JAW 661005 "
    "T-D1213 Jaw region; JEJUNUM 21306003 T-58400; JOINT 39352004 T-15001; KIDNEY 64033007 T-71000; KNEE 72696002 "
    "T-D9200; LACRIMALA 59749000 T-45410 Lacrimal artery; LARGEINTESTINE 14742008 T-59000; LARYNX 4596009 T-24100; "
    "LATRIUM 82471001 T-32300 Left atrium; LATVENTRICLE 66720007 T-A1650 Lateral Ventricle; LFEMORALA 113270003 "
    "T-47420 Left femoral artery; LHEPATICV 273202007 T-48727 Left hepatic vein; LHYPOCHONDRIAC 133945003 T-D4211 "
    "Left hypochondriac region; LINGUALA 113264009 T-45230 Lingual artery; LINGUINAL 85119005 T-D7020 Left inguinal "
    "region; LIVER 10200004 T-62000; LLQ 68505006 T-D4140 Left lower quadrant of abdomen; LLUMBAR 1017210004 - Left "
    "lumbar region; LOWERLEG 30021000 T-D9400; LOWERLIMB 61685007 T-D9000; LOWERTRUNK 63337009 -; LPORTALV 70253006 "
    "T-48814 Left portal vein; LPULMONARYA 50408007 T-44400 Left pulmonary artery; LSPINE 122496007 T-11503 Lumbar "
    "spine; LSSPINE 1217253001 - Lumbo-sacral spine; LSUPPULMONARYV 43863001 T-48530 Superior left pulmonary vein; "
    "LUMBAR 52612000 T-D2300 Lumbar region; LUMBARA 34635009 T-46960 Lumbar artery; LUMEN 91747007 T-40230 Lumen of "
    "blood vessel; LUNG 39607008 T-28000; LUQ 86367003 T-D4130 Left upper quadrant of abdomen; LVENTRICLE 87878005 "
    "T-32600 Left ventricle; MANDIBLE 91609006 T-11180; MASTOID 59066005 T-11133 Mastoid bone; MAXILLA 70925003 "
    "T-11170; MCA 17232002 T-45600 Middle cerebral artery; MEDIASTINUM 72410000 T-D3300; MESENTRICA 86570000 T-46500 "
    "Mesenteric artery; MESENTRICV 128583004 T-4884A Mesenteric vein; MIDHEPATICV 273099000 T-48726 Middle hepatic "
    "vein; MORISONSPOUCH 243977002 T-D4434; MOUTH 123851003 T-D0662; NASOPHARYNX 360955006 T-2300C; NECK 45048000 "
    "T-D1600; NECKCHEST 417437006 R-FAB52 Neck and Chest; NECKCHESTABDOMEN 416152001 R-FAB53 Neck, Chest and Abdomen; "
    "NECKCHESTABDPELV 416319003 R-FAB54 Neck, Chest, Abdomen and Pelvis; NOSE 45206002 T-21000; OCCIPTALV 32114007 "
    "T-48214 Occipital vein; OCCPITALA 31145008 T-45250 Occipital artery; OPHTHALMICA 53549008 T-45400 Ophthalmic "
    "artery; OPTICCANAL 55024004 T-11102; ORBIT 363654007 T-D14AE Orbital structure; OVARY 15497006 T-87000; "
    "PANCBILEDUCT 110621006 T-65600 Pancreatic duct and bile duct systems; PANCREAS 15776009 T-65000; PANCREATICDUCT "
    "69930009 T-65010; PARASTERNAL 91691001 T-D3136; PARATHYROID 111002 T-B7000; PAROTID 45289007 T-61100 Parotid "
    "gland; PATELLA 64234005 T-12730; PCA 70382005 T-45900 Posterior cerebral artery; PELVIS 816092008 -; "
    "PELVISLOWEXTREMT 1231522001 - Pelvis and lower extremities; PENILEA 282044005 T-46807 Penile artery; PENIS "
    "18911002 T-91000; PERINEUM 38864007 T-D2700; PERONEALA 8821006 T-47630 Peroneal artery; PHANTOM 706342009 "
    "R-FE0C7; PHARYNX 54066008 T-55000; PHARYNXLARYNX 312535008 T-20101 Pharynx and larynx; PLACENTA 78067005 "
    "T-F1100; POPLITEALA 43899006 T-47500 Popliteal artery; POPLITEALFOSSA 32361000 T-D9310; POPLITEALV 56849005 "
    "T-49650 Popliteal vein; PORTALV 32764006 T-48810 Portal vein; POSCOMMA 43119007 T-45320 Posterior communicating "
    "artery; POSTIBIALA 13363002 T-47600 Posterior tibial artery; PROFFEMA 31677005 T-47440 Profunda femoris artery; "
    "PROFFEMV 23438002 T-49660 Profunda femoris vein; PROSTATE 41216001 T-92000; PULMONARYA 81040000 T-44000 "
    "Pulmonary artery; PULMONARYV 122972007 T-48581 Pulmonary vein; RADIALA 45631007 T-47300 Radial artery; RADIUS "
    "62413002 T-12420; RADIUSULNA 110535000 T-12403 Radius and ulna; RATRIUM 73829009 T-32200 Right atrium; RECTUM "
    "34402009 T-59600; RENALA 2841007 T-46600 Renal artery; RENALV 56400007 T-48740 Renal vein; RETROPERITONEUM "
    "82849001 T-D4900; RFEMORALA 69833005 T-47410 Right femoral artery; RHEPATICV 272998002 T-48725 Right hepatic "
    "vein; RHYPOCHONDRIAC 133946002 T-D4212 Right hypochondriac region; RIB 113197003 T-11300; RINGUINAL 37117007 "
    "T-D7010 Right inguinal region; RLQ 48544008 T-D4120 Right lower quadrant of abdomen; RLUMBAR 1017211000 - Right "
    "lumbar region; RPORTALV 73931004 T-48813 Right portal vein; RPULMONARYA 78480002 T-44200 Right pulmonary artery; "
    "RSUPPULMONARYV 8629005 T-48510 Superior right pulmonary vein; RUQ 50519007 T-D4110 Right upper quadrant of "
    "abdomen; RVENTRICLE 53085002 T-32500 Right ventricle; SAPHENOUSV 362072009 T-4940B Saphenous vein; SCALP "
    "41695006 T-D1160; SCAPULA 79601000 T-12280; SCJOINT 7844006 T-15610 Sternoclavicular joint; SCLERA 18619003 "
    "T-AA110; SCROTUM 20233005 T-98000; SELLA 42575006 T-D1460 Sella turcica; SEMVESICLE 64739004 T-93000 Seminal "
    "vesicle; SESAMOID 58742003 T-12980 Sesamoid bones of foot; SFA 181349008 T-47403 Superficial femoral artery; SFJ "
    "128587003 T-D930A Saphenofemoral junction; SFV 397364003 G-035A Superficial femoral vein; SHOULDER 16982005 "
    "T-D2220; SIGMOID 60184004 T-59470 Sigmoid colon; SIJOINT 39723000 T-15680 Sacroiliac joint; SKULL 89546000 "
    "T-11100; SMA 42258001 T-46510 Superior mesenteric artery; SMALLINTESTINE 30315005 T-58000; SPINALCORD 2748008 "
    "T-A7010; SPINE 421060004 T-D04FF; SPLEEN 78961009 T-C3000; SPLENICA 22083002 T-46460 Splenic artery; SPLENICV "
    "35819009 T-48890 Splenic vein; SSPINE 54735007 T-11AD0 Sacrum; STERNUM 56873002 T-11210; STOMACH 69695003 "
    "T-57000; SUBCLAVIANA 36765005 T-46100 Subclavian artery; SUBCLAVIANV 9454009 T-48330 Subclavian vein; SUBCOSTAL "
    "19695001 T-D4210; SUBMANDIBULAR 54019009 T-61300 Submandibular gland; SUPRACLAVICULAR 77621008 T-D1620 "
    "Supraclavicular region of neck; SUPRAPUBIC 11708003 T-D4240 Suprapubic region; SUPTHYROIDA 72021004 T-45210 "
    "Superior thyroid artery; SVC 48345005 T-48610 Superior vena cava; TESTIS 40689003 T-94000; THALAMUS 42695009 "
    "T-A4000; THIGH 68367000 T-D9100; THORACICAORTA 113262008 T-42070; THORAX 816094009 - Chest; THUMB 76505004 "
    "T-D8810; THYMUS 9875009 T-C8000; THYROID 69748006 T-B6000; TIBIA 12611008 T-12740; TIBIAFIBULA 110536004 T-12701 "
    "Tibia and fibula; TLSPINE 1217256009 - Thoraco-lumbar spine; TMJ 53620006 T-15290 Temporomandibular joint; TOE "
    "29707007 T-D9800; TONGUE 21974007 T-53000; TRACHEA 44567001 T-25000; TRACHEABRONCHUS 110726009 T-DD006 Trachea "
    "and bronchus; TRANSVERSECOLON 485005 T-59440; TRUNK 22943007 T-D2000; TSPINE 122495006 T-11502 Thoracic spine; "
    "ULNA 23416004 T-12430; ULNARA 44984001 T-47200 Ulnar artery; UMBILICAL 90290004 T-D4230 Umbilical region; "
    "UMBILICALA 50536004 T-F1810 Umbilical artery; UMBILICALV 284639000 T-48832 Umbilical vein; UPPERARM 40983000 "
    "T-D8200; UPPERLIMB 53120007 T-D8000; UPPERTRUNK 67734004 -; UPRURINARYTRACT 431491007 T-7000B Upper urinary "
    "tract; URETER 87953007 T-73000; URETHRA 13648007 T-75000; UTERUS 35039007 T-83000; VAGINA 76784001 T-82000; VEIN "
    "29092000 T-48000; VERTEBRALA 85234005 T-45700 Vertebral artery; VULVA 45292006 T-81000; WHOLEBODY 38266002 "
    "T-D0010 Entire body; WRIST 74670003 T-15460 Wrist joint; ZYGOMA 13881006 T-11166; ARM - -; LEG - -; "
    "NECKCHESTABDPELVIS - -; SACRUM - -; - 72001000 T-12700 Bone of lower limb; - 2095001 T-22000 Paranasal sinus; - "
    "128565007 T-32502 Apex of right ventricle; - 70238003 T-32640 Left ventricle inflow; - 14944004 T-F7001 "
    "Primitive aorta; - 13418002 T-32650 Left ventricle outflow tract; - 34411009 T-D6500 Broad ligament; - 83330001 "
    "D4-32012 Patent ductus arteriosus; - 43799004 T-D3200 Intra-thoracic; - 111289009 D3-40208 Pulmonary "
    "arteriovenous fistula; - 32672002 T-42400 Descending aorta; - 1217254007 - Sacro-coccygeal Spine; - 91397008 "
    "T-11196 Facial bones; - 44627009 T-32550 Right ventricle outflow tract; - 128589000 T-44007 Systemic collateral "
    "artery to lung; - 76365002 T-04004 Upper outer quadrant of breast; - 128564006 T-32602 Apex of left ventricle; - "
    "2334006 T-72100 Calyx; - 128558004 D4-32510 Congenital coronary artery fistula to right ventricle; - 128569001 "
    "T-49535 Posterior medial tributary; - 110861005 T-DD163 Esophagus, stomach and duodenum; - 170887008 T-D161E "
    "Submental; - 128320002 T-A0191 Cranial venous system; - 128584005 D4-33142 Pulmonary artery conduit; - 45503006 "
    "D4-31120 Common ventricle; - 21814001 T-32400 Ventricle; - 30608006 T-13600 Muscle of upper limb; - 68300000 "
    "T-32210 Right auricular appendage; - 818987002 - Intra-abdominopelvic; - 110639002 T-88920 Uterus and fallopian "
    "tubes; - 128563000 D4-31052 Juxtaposed atrial appendage; - 110517009 T-11011 Vertebral column and cranium; - "
    "27949001 T-15770 Tarsal joint; - 128557009 D4-32509 Congenital coronary artery fistula to right atrium; - "
    "195416006 T-484A4 Inferior cardiac vein; - 128981007 A-00203 Baffle; - 128568009 D4-33516 Systemic venous "
    "atrium; - 303270005 T-50007 Liver and biliary structure; - 128585006 T-48503 Anomalous pulmonary vein; - "
    "26493002 T-11218 Suprasternal notch; - 113346000 T-D4450 Omental bursa; - 299716001 T-41068 Iliac and/or femoral "
    "artery; - 131183008 G-A15A Intra-articular; - 25990002 T-72000 Renal pelvis; - 34340008 T-48003 Venous network; "
    "- 253276007 D4-31005 Common atrium; - 128551005 D3-81922 Aortic fistula; - 74386004 T-11149 Nasal bone; - "
    "61959006 D4-31400 Truncus arteriosus communis; - 5713008 T-D1603 Submandibular area; - 15672000 T-45270 "
    "Superficial temporal artery; - 128556000 D4-32506 Congenital coronary artery fistula to left ventricle; - "
    "113273001 T-48520 Inferior right pulmonary vein; - 91830000 T-D00AB Body conduit; - 33564002 T-04005 Lower outer "
    "quadrant of breast; - 8017000 T-32540 Right ventricle inflow; - 128567004 D4-33514 Pulmonary venous atrium; - "
    "128586007 T-32190 Pulmonary chamber of cor triatriatum; - 27398004 T-D4600 Omentum; - 29836001 T-D2500 Hip; - "
    "371195002 T-D0821 Bone of upper limb; - 19100000 T-04003 Lower inner quadrant of breast; - 816989007 - "
    "Intra-pelvic; - 5076001 T-D3213 Subxiphoid; - 77831004 T-04002 Upper inner quadrant of breast; - 128555001 "
    "D4-32504 Congenital coronary artery fistula to left atrium; - 35532006 T-48600 Vena cava; - 86598002 T-280A0 "
    "Apex of Lung; - 59652004 T-32100 Atrium; - 128566008 D4-33512 Pulmonary vein confluence; - 371398005 T-D0801 Eye "
    "region; - 128979005 T-45416 Lacrimal artery of right eye; - 53505006 T-59900 Anus; - 5928000 T-48420 Great "
    "cardiac vein; - 91707000 T-F7040 Primitive pulmonary artery; - 51249003 T-48540 Inferior left pulmonary vein; - "
    "128548003 T-49424 Boyd's perforating vein; - 118375008 A-04140 Vascular graft; - 33626005 T-32310 Left auricular "
    "appendage; - 102292000 T-14668 Muscle of lower limb; - 128560002 T-4942A Hunterian perforating vein; - 128554002 "
    "T-49429 Dodd's perforating vein"
)
_ROWS: Final = tuple(_rows())

_BY_CODE: Final = {code: part for part in _ROWS for code in part.codes}
_BY_NAME: Final = (
    {_letters(part.meaning.removesuffix(" spine")): part for part in _ROWS if "-" in part.meaning}
    | {_letters(part.meaning): part for part in _ROWS}
    | {part.term: part for part in _ROWS if part.term}
)
