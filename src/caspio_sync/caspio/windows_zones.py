"""Windows time zone ids, as Caspio names the zone of a TIMESTAMP field, and the IANA zone of each (Caspio, 2.4)."""

import contextlib
from collections.abc import Iterable
from types import MappingProxyType
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from caspio_sync.errors import ConfigurationError
from caspio_sync.schemas import CaspioField

# One zone an id, "<Windows id without 'Standard Time'>: <IANA zone>"; ids that do not end so are written out below.
_STANDARD_TIME = """
AUS Central: Australia/Darwin
AUS Eastern: Australia/Sydney
Afghanistan: Asia/Kabul
Alaskan: America/Anchorage
Alberta: America/Edmonton
Aleutian: America/Adak
Altai: Asia/Barnaul
Arab: Asia/Riyadh
Arabian: Asia/Dubai
Arabic: Asia/Baghdad
Argentina: America/Argentina/Buenos_Aires
Astrakhan: Europe/Astrakhan
Atlantic: America/Halifax
Aus Central W.: Australia/Eucla
Azerbaijan: Asia/Baku
Azores: Atlantic/Azores
Bahia: America/Bahia
Bangladesh: Asia/Dhaka
Belarus: Europe/Minsk
Bougainville: Pacific/Bougainville
British Columbia: America/Vancouver
Canada Central: America/Regina
Cape Verde: Atlantic/Cape_Verde
Caucasus: Asia/Yerevan
Cen. Australia: Australia/Adelaide
Central: America/Chicago
Central America: America/Guatemala
Central Asia: Asia/Bishkek
Central Brazilian: America/Cuiaba
Central Europe: Europe/Budapest
Central European: Europe/Warsaw
Central Pacific: Pacific/Guadalcanal
Chatham Islands: Pacific/Chatham
China: Asia/Shanghai
Cuba: America/Havana
Dateline: Etc/GMT+12
E. Africa: Africa/Nairobi
E. Australia: Australia/Brisbane
E. Europe: Europe/Chisinau
E. South America: America/Sao_Paulo
Easter Island: Pacific/Easter
Eastern: America/New_York
Egypt: Africa/Cairo
Ekaterinburg: Asia/Yekaterinburg
FLE: Europe/Kyiv
Fiji: Pacific/Fiji
GMT: Europe/London
GTB: Europe/Bucharest
Georgian: Asia/Tbilisi
Greenland: America/Nuuk
Greenwich: Atlantic/Reykjavik
Haiti: America/Port-au-Prince
Hawaiian: Pacific/Honolulu
India: Asia/Kolkata
Iran: Asia/Tehran
Israel: Asia/Jerusalem
Jordan: Asia/Amman
Kaliningrad: Europe/Kaliningrad
Kamchatka: Asia/Kamchatka
Korea: Asia/Seoul
Libya: Africa/Tripoli
Line Islands: Pacific/Kiritimati
Lord Howe: Australia/Lord_Howe
Magadan: Asia/Magadan
Magallanes: America/Punta_Arenas
Manitoba: America/Winnipeg
Marquesas: Pacific/Marquesas
Mauritius: Indian/Mauritius
Mid-Atlantic: Atlantic/South_Georgia
Middle East: Asia/Beirut
Montevideo: America/Montevideo
Morocco: Africa/Casablanca
Mountain: America/Denver
Myanmar: Asia/Yangon
N. Central Asia: Asia/Novosibirsk
Namibia: Africa/Windhoek
Nepal: Asia/Kathmandu
New Zealand: Pacific/Auckland
Newfoundland: America/St_Johns
Norfolk: Pacific/Norfolk
North Asia: Asia/Krasnoyarsk
North Asia East: Asia/Irkutsk
North Korea: Asia/Pyongyang
Omsk: Asia/Omsk
Pacific: America/Los_Angeles
Pacific SA: America/Santiago
Pakistan: Asia/Karachi
Paraguay: America/Asuncion
Qyzylorda: Asia/Qyzylorda
Romance: Europe/Paris
Russian: Europe/Moscow
SA Eastern: America/Cayenne
SA Pacific: America/Bogota
SA Western: America/La_Paz
SE Asia: Asia/Bangkok
Saint Pierre: America/Miquelon
Sakhalin: Asia/Sakhalin
Samoa: Pacific/Apia
Sao Tome: Africa/Sao_Tome
Saratov: Europe/Saratov
Singapore: Asia/Singapore
South Africa: Africa/Johannesburg
South Sudan: Africa/Juba
Sri Lanka: Asia/Colombo
Sudan: Africa/Khartoum
Syria: Asia/Damascus
Taipei: Asia/Taipei
Tasmania: Australia/Hobart
Tocantins: America/Araguaina
Tokyo: Asia/Tokyo
Tomsk: Asia/Tomsk
Tonga: Pacific/Tongatapu
Transbaikal: Asia/Chita
Turkey: Europe/Istanbul
Turks And Caicos: America/Grand_Turk
US Eastern: America/Indiana/Indianapolis
US Mountain: America/Phoenix
Ulaanbaatar: Asia/Ulaanbaatar
Venezuela: America/Caracas
Vladivostok: Asia/Vladivostok
Volgograd: Europe/Volgograd
W. Australia: Australia/Perth
W. Central Africa: Africa/Lagos
W. Europe: Europe/Berlin
W. Mongolia: Asia/Hovd
West Asia: Asia/Tashkent
West Bank: Asia/Hebron
West Pacific: Pacific/Port_Moresby
Yakutsk: Asia/Yakutsk
Yukon: America/Whitehorse
"""
_WRITTEN_OUT = {
    "Central Standard Time (Mexico)": "America/Mexico_City",
    "Eastern Standard Time (Mexico)": "America/Cancun",
    "Mountain Standard Time (Mexico)": "America/Mazatlan",
    "Pacific Standard Time (Mexico)": "America/Tijuana",
    "Russia Time Zone 3": "Europe/Samara",
    "Russia Time Zone 10": "Asia/Srednekolymsk",
    "Russia Time Zone 11": "Asia/Kamchatka",
    "UTC": "UTC",
    "UTC+12": "Etc/GMT-12",
    "UTC+13": "Etc/GMT-13",
    "UTC-02": "Etc/GMT+2",
    "UTC-08": "Etc/GMT+8",
    "UTC-09": "Etc/GMT+9",
    "UTC-11": "Etc/GMT+11",
}
WINDOWS_ZONES = MappingProxyType(
    _WRITTEN_OUT
    | {
        f"{name} Standard Time": zone
        for name, zone in (line.split(": ") for line in _STANDARD_TIME.strip().splitlines())
    }
)
_BY_LOWER_CASE = {name.lower(): zone for name, zone in WINDOWS_ZONES.items()}


def zone(name: str) -> ZoneInfo:
    """The zone of a Windows id or an IANA name.

    Raises:
        ConfigurationError: the name is neither.
    """
    try:
        return ZoneInfo(_BY_LOWER_CASE.get(name.strip().lower(), name.strip()))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigurationError(
            f"time zone {name!r} is neither a Windows id ('GMT Standard Time') nor an IANA name ('Europe/London'); "
            "set the zone of the TIMESTAMP field in Caspio, or name it in the sync file"
        ) from None


def stamped_zone(fields: Iterable[CaspioField]) -> str | None:
    """The IANA zone that Caspio declares for the first TIMESTAMP field with one that is known; None for none."""
    for field in fields:
        if field.type == "TIMESTAMP" and (field.time_zone or "").strip():
            with contextlib.suppress(ConfigurationError):
                return zone(str(field.time_zone)).key
    return None
