import pytest


@pytest.fixture(autouse=True, scope="package")
def one_thread():
    """Small tensors: a second thread only waits."""
    import torch  # not in every process that reads this file: it takes seconds

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
