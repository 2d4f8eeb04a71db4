"""Public data sets by name: in `TWINSIM_DATA`, else in the user's cache, which `fetch` fills."""

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twinsim.environment import cache_folder, data_folder
from twinsim.errors import InputError, near_misses


@dataclass(frozen=True)
class RemoteFile:
    """One file of a data set: its name, the address it is fetched from, the SHA-256 of its content."""

    name: str
    url: str
    sha256: str


@dataclass(frozen=True)
class Dataset:
    """A public data set.

    Attributes:
        name: The name that `locate` takes.
        path: Its folder, relative to `TWINSIM_DATA` and to `data` in the user's cache.
        what: What it contains, in one line.
        source: Where it was published.
        licence: As read at the source; "(recalled)" where it was not.
        size_mib: Size on disk.
        files: What `fetch` downloads; empty where the set has to be fetched by hand.
        contents: A file or pattern that a complete copy has.
    """

    name: str
    path: str
    what: str
    source: str
    licence: str
    size_mib: float
    contents: str
    files: tuple[RemoteFile, ...] = ()


_PYRADIOMICS = "https://raw.githubusercontent.com/AIM-Harvard/pyradiomics/8ed579383b44806651c463d5e691f3b2b57522ab/data/"

DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            name="brain_tumour_mr",
            path="imaging/brain_tumour_mr",
            what="brain MR with a lesion label, 256 x 256 x 25 voxels of 0.78 x 0.78 x 6.5 mm",
            source="github.com/AIM-Harvard/pyradiomics, commit 8ed5793, data/brain1_*.nrrd",
            licence="BSD-3-Clause",
            size_mib=2.0,
            contents="brain1_*.nrrd",
            files=(
                RemoteFile(
                    "brain1_image.nrrd",
                    _PYRADIOMICS + "brain1_image.nrrd",
                    "fffdb111ee8b428ede7256707393c927a7d5be912f0604cf3c6f1bd5fc9644cf",
                ),
                RemoteFile(
                    "brain1_label.nrrd",
                    _PYRADIOMICS + "brain1_label.nrrd",
                    "ae6d8e6b84f7e99d68c210ee2fa6aaaefa0b2df0a84f55efca4feebe2b216059",
                ),
            ),
        ),
        Dataset(
            name="flow4d",
            path="imaging/flow4d",
            what="synthetic velocity-encoded images of an aorta, 42 x 38 x 36 voxels, and the computed flow on twice as many",
            source="github.com/EdwardFerdian/4DFlowNet, commit c1d452e, data/example_data*.h5",
            licence="MIT",
            size_mib=3.4,
            contents="example_data*.h5",
        ),
        Dataset(
            name="sarcoma_pet_ct_mr",
            path="imaging/sarcoma_pet_ct_mr",
            what="soft-tissue sarcoma, three patients: CT, PET (SUV), T1 MR and tumour masks",
            source="github.com/theibsi/data_sets, 6da9602; Vallieres 2015, 10.7937/K9/TCIA.2015.7GO2GSKS",
            licence="CC-BY-3.0",
            size_mib=7.3,
            contents="STS_*/CT_image.nii.gz",
        ),
        Dataset(
            name="ibsi1_digital_phantom",
            path="imaging/ibsi1_digital_phantom",
            what="digital phantom of the Image Biomarker Standardisation Initiative",
            source="github.com/theibsi/data_sets, commit 6da9602; Zwanenburg 2020",
            licence="CC-BY-4.0",
            size_mib=0.01,
            contents="*.nii.gz",
        ),
        Dataset(
            name="psa_iadt",
            path="tumour_series/psa_iadt/Bruchovsky",
            what="PSA and testosterone of 60 prostate-cancer patients on intermittent androgen deprivation",
            source="github.com/Michaelrising/PPOProstateCancer, commit ab3d168; Bruchovsky 2006, 2007",
            licence="CC0 as stated there",
            size_mib=0.2,
            contents="patient*.txt",
        ),
        Dataset(
            name="human_volume",
            path="tumour_series/human_volume",
            what="volume readings of 1,358 target lesions in 11 study arms, at least 3 each",
            source="github.com/ablaom/TumorGrowth, commit 4b4c6c4; Laleh 2022, 10.1371/journal.pcbi.1009822",
            licence="MIT; paper CC-BY",
            size_mib=0.5,
            contents="patient_data.csv",
        ),
        Dataset(
            name="pkpd",
            path="pkpd",
            what="drug concentrations and effects in people: theophylline, warfarin, indomethacin, remifentanil and others",
            source="R packages nlme (Boeckmann 1994, Kwan 1976, Minto 1997, Grasela 1985), nlmixr2data (O'Reilly 1963, Wendling 2015)",
            licence="published factual data",
            size_mib=0.2,
            contents="Theoph.csv",
        ),
        Dataset(
            name="cgm",
            path="signals/cgm",
            what="continuous glucose of one person over 8 days, every 5 minutes",
            source="github.com/brinnaebent/cgmquantify, commit 96815f4; Bent 2020",
            licence="MIT",
            size_mib=0.1,
            contents="dexcom_g6_cgmquantify.csv",
        ),
        Dataset(
            name="openbf",
            path="haemodynamics/openbf",
            what="1-D arterial networks with inlets, from the common carotid artery to ADAN56",
            source="github.com/INSIGNEO/openBF, commit 0376f4d; Boileau 2015",
            licence="Apache-2.0",
            size_mib=0.1,
            contents="*.yaml",
        ),
        Dataset(
            name="pwdb",
            path="haemodynamics/pwdb",
            what="velocity of blood at two places of an artery by Doppler ultrasound, 100 Hz for 10 s, of two people",
            source="github.com/peterhcharlton/pwdb, commit 5a0d472, test data of TTAlgorithm; Charlton 2019, Gaddum 2013",
            licence="BSD-2-Clause (TTAlgorithm_license.txt beside them)",
            size_mib=0.05,
            contents="TestData*_Doppler.mat",
        ),
        Dataset(
            name="wfdb",
            path="signals/wfdb",
            what="electrocardiograms and pressures: MIT-BIH 100, PTB s0010, MIMIC 037 and 041, an alarm of ventricular tachycardia",
            source="github.com/MIT-LCP/wfdb-python, commit 6850ad1; Moody and Mark 1996, Goldberger 2000",
            licence="MIT (repository); ODC-By (PhysioNet, recalled)",
            size_mib=3.0,
            contents="041s/041s01.dat",
        ),
        Dataset(
            name="ieeg_ictal",
            path="signals/ieeg_ictal",
            what="84 intracranial channels from 1 s before to 2 s after the onset of a seizure, 10 named by clinicians; a fragility map",
            source="github.com/Jiefei-Wang/EZFragility, commit 98dc002; OpenNeuro ds003029, Li 2021, 10.1038/s41593-021-00901-w",
            licence="CC0 (recording, recalled); the map from a GPL package",
            size_mib=1.0,
            contents="pt01_seizure1_ecog_84x3001.npz",
        ),
        Dataset(
            name="pbmc68k_reduced",
            path="omics",
            what="700 blood cells of ten annotated types, expression of 765 genes",
            source="PyPI scanpy 1.12.4 (scanpy.datasets.pbmc68k_reduced); Zheng 2017, 10.1038/ncomms14049",
            licence="BSD-3-Clause (package)",
            size_mib=1.9,
            contents="10x_pbmc68k_reduced.h5ad",
        ),
    )
}


def known(name: str) -> Dataset:
    """The data set of that name.

    Raises:
        InputError: There is none; the message offers the near misses.
    """
    if name not in DATASETS:
        raise InputError(
            got=f"data set {name!r}",
            expected="a name from `twinsim data`",
            do=f"correct the name; {near_misses(name, DATASETS)}",
        )
    return DATASETS[name]


def _complete(dataset: Dataset, folder: Path) -> bool:
    if any(folder.glob(dataset.contents)):
        return all((folder / file.name).is_file() for file in dataset.files)
    return False


def found(dataset: Dataset) -> Path | None:
    """Where a complete copy lies: in `TWINSIM_DATA`, else in the user's cache, else nowhere.

    Raises:
        InputError: `TWINSIM_DATA` names something that is not a folder.
    """
    shared = data_folder()
    roots = [cache_folder() / "data"] if shared is None else [shared, cache_folder() / "data"]
    return next((root / dataset.path for root in roots if _complete(dataset, root / dataset.path)), None)


def locate(name: str) -> Path:
    """The folder of a data set: in `TWINSIM_DATA`, else in the user's cache. Nothing is downloaded.

    Raises:
        InputError: The name is unknown, or the set is in neither place; the message says how to get it.
    """
    dataset = known(name)
    folder = found(dataset)
    if folder is not None:
        return folder
    if dataset.files:
        do = f"set TWINSIM_DATA, or connect to the network and run `twinsim data fetch {name}`"
    else:
        do = f"copy the files from {dataset.source} to $TWINSIM_DATA/{dataset.path}, and set TWINSIM_DATA"
    expected = f"{dataset.path} in TWINSIM_DATA or in the cache"
    raise InputError(got=f"no data set {name}", expected=expected, do=do)


def fetch(name: str, downloader: Callable[..., Any] | None = None) -> Path:
    """Download a data set into the user's cache, check it, and return its folder.

    A file whose content does not match its SHA-256 is not kept.

    Args:
        name: The data set.
        downloader: A pooch downloader in place of the default one.

    Raises:
        InputError: The name is unknown, the set has to be fetched by hand, no network, or another content.
    """
    dataset = known(name)
    folder = cache_folder() / "data" / dataset.path
    if not dataset.files:
        fetchable = ", ".join(sorted(name for name, other in DATASETS.items() if other.files))
        raise InputError(
            got=f"fetch {name}, which has to be fetched by hand",
            expected=f"a data set that can be downloaded: {fetchable}",
            do=f"copy the files from {dataset.source} to {folder}",
        )
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")
    for file in dataset.files:
        try:
            pooch.retrieve(file.url, f"sha256:{file.sha256}", fname=file.name, path=folder, downloader=downloader)
        except (OSError, requests.RequestException) as error:
            _drop_empty(folder)
            raise InputError(
                got=f"no answer from {file.url} ({type(error).__name__})",
                expected="a network that reaches it, and a cache that can be written",
                do=f"connect and run `twinsim data fetch {name}` again, or put the files into {folder}",
            ) from error
        except ValueError as error:  # pooch: the checksum differs
            _drop_empty(folder)
            raise InputError(
                got=f"{file.url} with a content other than the one that twinsim knows",
                expected=f"SHA-256 {file.sha256}",
                do="try again later; the file was not kept",
            ) from error
    return folder


def _drop_empty(folder: Path) -> None:
    """Removes folders that a failed download made, up to the cache's own: an empty one would pass for data."""
    with suppress(OSError):  # not empty, or not there
        while folder != cache_folder():
            folder.rmdir()
            folder = folder.parent


def show() -> None:
    """Print what is known and where it was found."""
    from rich.console import Console
    from rich.table import Table

    table = Table(show_lines=True)
    for column in ("name", "what", "licence and source", "MiB", "found in"):
        justify = "right" if column == "MiB" else "left"
        table.add_column(column, overflow="fold", justify=justify, no_wrap=column == "name")
    for dataset in DATASETS.values():
        folder = found(dataset)
        if folder is not None:
            where = str(folder)
        elif dataset.files:
            where = f"not here: twinsim data fetch {dataset.name}"
        else:
            where = "not here: set TWINSIM_DATA"
        table.add_row(dataset.name, dataset.what, f"{dataset.licence}; {dataset.source}", f"{dataset.size_mib:g}", where)
    # A pipe has no width of its own, and 80 columns would break every path.
    Console(width=None if sys.stdout.isatty() else 160).print(table)
